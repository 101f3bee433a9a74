"""Recorded curves in frames of pandas, and results as such frames; pandas is loaded only when one is asked for."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from determined.errors import DeterminedError, InvalidInput
from determined.simulator.curves import Curve, flat
from determined.simulator.metrics import number_in

if TYPE_CHECKING:
    from determined.simulator.result import SimulatedTrial, SimulationResult

EXTRA = "workshop"
LENGTH = "length"


def needed(module: str, purpose: str) -> Any:
    """A module of the extra packages.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as e:
        package = module.partition(".")[0]
        raise MissingExtra(
            f"{purpose} needs {package}, which is not installed; run: pip install 'determined-search[{EXTRA}]'"
        ) from e


class MissingExtra(DeterminedError, ImportError):
    """A package that only some uses need is not installed."""


def read_parquet(path: Path) -> Any:
    """The frame in a Parquet file.

    Raises:
        InvalidInput: there is no such file, or it is something else.
        MissingExtra: the packages for it are missing.
    """
    if not path.exists():
        raise InvalidInput(
            f"the table {path} cannot be read: there is no such file; give the path of a Parquet file, or of a "
            "recorded experiment (.detrec)"
        )
    pandas = needed("pandas", "reading a table from a file")
    needed("pyarrow", "reading a Parquet file")
    try:
        return pandas.read_parquet(path)
    except (OSError, ValueError) as e:
        raise InvalidInput(
            f"the table {path} cannot be read: {e}; give the path of a Parquet file, or of a recorded "
            "experiment (.detrec)"
        ) from e


def curves_of_frame(frame: Any, metric: str) -> Iterator[Curve]:
    """A curve for each different point of a frame, in the order in which the points first appear.

    Raises:
        InvalidInput: a column is missing or holds no numbers, or a point has two lines for the same length.
    """
    names = [str(column) for column in frame.columns]
    missing = [column for column in (LENGTH, metric) if column not in names]
    if missing:
        raise InvalidInput(
            f"the frame has no column {missing[0]!r} (it has: {', '.join(names)}); a line of a table has the "
            "hyperparameters, `length`, and the metric, whose column can be named with metric=..."
        )
    points = [name for name in names if name not in (LENGTH, metric)]
    if not points:
        raise InvalidInput("the frame has no column for a hyperparameter; add one, for example the number of the trial")
    for column in (LENGTH, metric):
        _check_numbers(frame, column)
    for point, lines in frame.groupby(points, sort=False, dropna=False):
        ordered = lines.sort_values(LENGTH)
        hparams = dict(zip(points, map(_plain, point), strict=True))
        lengths: list[float] = ordered[LENGTH].tolist()
        for length, following in itertools.pairwise(lengths):
            if length == following:
                raise InvalidInput(
                    f"the frame has length {length:g} twice for {hparams!r:.120}; give each validation one line, and "
                    "tell trials with equal hyperparameters apart by another column, for example their seed"
                )
        yield Curve(hparams, lengths, ordered[metric].tolist())


def _check_numbers(frame: Any, column: str) -> None:
    for value in frame[column].tolist():
        if type(value) is not float and number_in(value) is None:
            raise InvalidInput(
                f"column {column!r} of the frame holds {value!r:.80}, which is no number; convert it, or leave the "
                "line out"
            )


def _plain(value: Any) -> Any:
    """A Python value instead of NumPy's."""
    return value.item() if hasattr(value, "item") else value


def frame_of(result: SimulationResult) -> Any:
    """A line for each trial of a result."""
    pandas = needed("pandas", "a frame of the result")
    return pandas.DataFrame([_line(trial) for trial in result.trials])


def _line(trial: SimulatedTrial) -> dict[str, Any]:
    told = {name: getattr(trial, name) for name in trial.__struct_fields__ if name != "hparams"}
    points = {f"hparams.{name}": value for name, value in flat(trial.hparams).items()}
    return {**told, "request_id": str(trial.request_id), "length": trial.length, "last": trial.last, **points}
