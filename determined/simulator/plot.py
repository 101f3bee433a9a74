"""A result as a picture. Figures are made without pyplot, so that no window and no global state comes with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

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
        figure.savefig(path)
    return figure


def _draw_best(axes: Any, places: list[float], end: float, result: SimulationResult) -> None:
    if places:
        metrics = [b.metric for b in result.best_so_far]
        axes.step([*places, end], [*metrics, metrics[-1]], where="post")
