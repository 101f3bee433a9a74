"""A result as a picture. Figures are made without pyplot, so that no window and no global state comes with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from determined.errors import InvalidInput
from determined.simulator.frames import needed

if TYPE_CHECKING:
    from determined.simulator.result import SimulationResult


def drawing(across: str, up: str) -> tuple[Any, Any]:
    """An empty figure, and its axes with these names.

    Raises:
        MissingExtra: Matplotlib is not installed.
    """
    figure = needed("matplotlib.figure", "a plot").Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=across, ylabel=up)
    return figure, axes


def plotted(result: SimulationResult, path: str | Path | None) -> Any:
    """The figure of a result, saved too if a path is given.

    Raises:
        InvalidInput: it cannot be written there.
        MissingExtra: Matplotlib is not installed.
    """
    figure = needed("matplotlib.figure", "a plot").Figure(figsize=(12, 3.6), layout="constrained")
    by_time, by_units, by_length = figure.subplots(1, 3)
    _draw_best(by_time, [b.time for b in result.best_so_far], result.time, result)
    by_time.set(xlabel="time", ylabel="best metric so far")
    _draw_best(by_units, [b.units for b in result.best_so_far], result.units, result)
    by_units.set(xlabel="units trained", ylabel="best metric so far")
    lengths = result.trials_by_length()
    by_length.bar([str(length) for length in lengths], list(lengths.values()))
    by_length.set(xlabel="length", ylabel="trials that validated there")
    if path is not None:
        save(figure, path)
    return figure


def save(figure: Any, path: str | Path) -> None:
    """Write a figure to a file whose suffix names the format; without one, a PNG.

    Raises:
        InvalidInput: the format is unknown, or the file cannot be written.
    """
    check_path(path)
    try:
        figure.savefig(path)
    except OSError as error:
        raise InvalidInput(
            f"the plot cannot be written to {path}: {error.strerror or error}; name a file that can be written"
        ) from error


def check_path(path: str | Path) -> None:
    """Refuse a file that no plot can be written to, before anything is computed for it.

    Raises:
        InvalidInput: its format is unknown, or its folder is not there.
        MissingExtra: Matplotlib is not installed.
    """
    formats = needed("matplotlib.figure", "a plot").Figure().canvas.get_supported_filetypes()
    suffix = Path(path).suffix[1:].lower()
    if suffix and suffix not in formats:
        allowed = ", ".join(sorted(formats))
        raise InvalidInput(f"the plot cannot be written to {path}: there is no format {suffix!r} (allowed: {allowed})")
    if not Path(path).parent.is_dir():
        raise InvalidInput(
            f"the plot cannot be written to {path}: there is no folder {Path(path).parent}; make it first"
        )


def _draw_best(axes: Any, places: list[float], end: float, result: SimulationResult) -> None:
    if places:
        metrics = [b.metric for b in result.best_so_far]
        axes.step([*places, end], [*metrics, metrics[-1]], where="post")
