"""Where metrics come from when nothing is trained: recorded curves, and the policy for what was not recorded."""

from __future__ import annotations

import bisect
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from determined.domain.hparams import Int, Space
from determined.errors import InvalidInput, NotFound

ROW = "row"
"""Name of the hyperparameter that chooses a row of a table."""
POLICIES = ("refuse", "nearest")


class NotRecorded(NotFound):
    """A point or a length that a table does not have was asked for, and its policy is to refuse."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One recorded trial.

    Attributes:
        lengths: ascending.
        metrics: one for each length; the metric of the search.
    """

    hparams: Mapping[str, Any]
    lengths: tuple[float, ...]
    metrics: tuple[float, ...]

    def __init__(self, hparams: Mapping[str, Any], lengths: Sequence[float], metrics: Sequence[float]) -> None:
        if not lengths or len(lengths) != len(metrics) or any(a >= b for a, b in itertools.pairwise(lengths)):
            raise InvalidInput(
                f"the curve of {dict(hparams)!r:.80} has {len(lengths)} lengths and {len(metrics)} metrics; it needs "
                "as many of both, at least one, and ascending lengths"
            )
        object.__setattr__(self, "hparams", hparams)
        object.__setattr__(self, "lengths", tuple(lengths))
        object.__setattr__(self, "metrics", tuple(metrics))


@dataclass(frozen=True, slots=True)
class Table:
    """Recorded curves that stand in for training.

    A trial whose hyperparameters are those of a row follows that row's curve; so does one with the single
    hyperparameter ``row``, the number of a row. What was not recorded is decided by ``outside``:

    - ``"refuse"`` raises ``NotRecorded``;
    - ``"nearest"`` takes the row with the least distance, and of its curve the nearest recorded length, the shorter
      one of two that are equally near. The distance of two points is the sum over their hyperparameters of the
      difference as a share of the range in the table, and 1 for two different values that are not numbers.

    Cost: O(log lengths) for a recorded point; O(rows) for another one, once.
    """

    curves: tuple[Curve, ...]
    outside: str = "refuse"
    _rows: dict[str, int] = field(default_factory=dict, init=False, repr=False, compare=False)
    _ranges: dict[str, float] = field(default_factory=dict, init=False, repr=False, compare=False)
    _numbers: set[int] = field(default_factory=set, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.outside not in POLICIES:
            raise InvalidInput(
                f"a table cannot {self.outside!r} what is outside of it (allowed: {', '.join(POLICIES)})"
            )
        if not self.curves:
            raise InvalidInput("a table needs at least one curve")
        points = [flat(curve.hparams) for curve in self.curves]
        for row, values in enumerate(points):
            self._rows.setdefault(_key(values), row)
        # Unless the recorded trials themselves had such a hyperparameter, which then has its own meaning.
        if all(values.get(ROW, row) == row for row, values in enumerate(points)):
            self._numbers.update(range(len(points)))
        for name in {name for values in points for name in values}:
            numbers = [v[name] for v in points if _is_number(v.get(name))]
            self._ranges[name] = max(numbers) - min(numbers) if numbers else 0.0

    @classmethod
    def of(
        cls, source: Any, *, lengths: Sequence[float] | None = None, metric: str = "metric", outside: str = "refuse"
    ) -> Table:
        """Read recorded curves.

        Args:
            source: one of

                - ``Curve`` values;
                - a NumPy array or nested list ``float (trials, lengths)``: its rows get the hyperparameter ``row``;
                - a pandas DataFrame with a column ``length``, one of the metric, and any others for the
                  hyperparameters: a line for each validation;
                - the path of a Parquet file with such a frame.
            lengths: of the columns of an array; 1, 2, 3 ... by default.
            metric: name of the metric's column.
            outside: ``"refuse"`` or ``"nearest"``.

        Raises:
            InvalidInput: the source is none of these, or cannot be read.
        """
        if isinstance(source, Table):
            return source
        if isinstance(source, (str, Path)):
            from determined.simulator.frames import read_parquet

            source = read_parquet(Path(source))
        if hasattr(source, "groupby"):
            from determined.simulator.frames import curves_of_frame

            return cls(tuple(curves_of_frame(source, metric)), outside)
        rows = source.tolist() if hasattr(source, "tolist") else list(source)
        if all(isinstance(row, Curve) for row in rows):
            return cls(tuple(rows), outside)
        if not all(isinstance(row, Sequence) and not isinstance(row, str) for row in rows):
            raise InvalidInput("a table is read from curves, an array (trials, lengths), a frame, or a Parquet file")
        return cls(tuple(_row_curve(n, row, lengths) for n, row in enumerate(rows)), outside)

    def __len__(self) -> int:
        return len(self.curves)

    def space(self) -> Space:
        """The search space whose points are the rows: one integer hyperparameter ``row``, all of it on a grid."""
        return Space.of({ROW: Int(0, len(self.curves) - 1, len(self.curves))})

    def hparams(self, row: int) -> Mapping[str, Any]:
        """The recorded hyperparameters of a row."""
        return self.curves[row].hparams

    def __call__(self, hparams: Mapping[str, Any], length: float) -> float:
        """The metric of a point at a length.

        Raises:
            NotRecorded: it is not in the table, and may not be replaced.
        """
        curve = self.curves[self.row_of(hparams)]
        at = bisect.bisect_left(curve.lengths, length)
        if at < len(curve.lengths) and curve.lengths[at] == length:
            return curve.metrics[at]
        if self.outside == "refuse":
            raise NotRecorded(
                f"the curve of {_shown(hparams)} has no metric at length {length:g} (recorded: "
                f"{_listed(curve.lengths)}); ask for recorded lengths, or use a table with outside='nearest'"
            )
        near = range(max(at - 1, 0), min(at + 1, len(curve.lengths)))
        return curve.metrics[min(near, key=lambda place: abs(curve.lengths[place] - length))]

    def row_of(self, hparams: Mapping[str, Any]) -> int:
        """The row that stands for a point.

        Raises:
            NotRecorded: none does.
        """
        if len(hparams) == 1 and hparams.get(ROW) in self._numbers:
            return int(hparams[ROW])
        values = flat(hparams)
        key = _key(values)
        row = self._rows.get(key)
        if row is None:
            if self.outside == "refuse":
                raise NotRecorded(
                    f"no row of the table has the hyperparameters {_shown(hparams)}; draw points from table.space(), "
                    "or use a table with outside='nearest'"
                )
            row = min(range(len(self.curves)), key=lambda r: self._distance(values, flat(self.curves[r].hparams)))
            self._rows[key] = row
        return row

    def _distance(self, a: Mapping[str, Any], b: Mapping[str, Any]) -> float:
        total = 0.0
        for name in a.keys() | b.keys():
            one, other = a.get(name), b.get(name)
            if one == other:
                continue
            reach = self._ranges.get(name, 0.0)
            if reach > 0 and _is_number(one) and _is_number(other):
                total += abs(one - other) / reach
            else:
                total += 1.0
        return total


def _row_curve(number: int, metrics: Sequence[float], lengths: Sequence[float] | None) -> Curve:
    return Curve({ROW: number}, range(1, len(metrics) + 1) if lengths is None else lengths, metrics)


def flat(hparams: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested hyperparameters under names joined by dots, as the columns of a frame have them."""
    found: dict[str, Any] = {}
    for name, value in hparams.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _key(values: Mapping[str, Any]) -> str:
    # A frame turns 1 into 1.0; it is the same point.
    whole = {n: int(v) if isinstance(v, float) and v.is_integer() else v for n, v in values.items()}
    return json.dumps(whole, sort_keys=True, default=str)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _shown(hparams: Mapping[str, Any]) -> str:
    return f"{dict(hparams)!r:.120}"


def _listed(lengths: Sequence[float]) -> str:
    return ", ".join(f"{n:g}" for n in (lengths if len(lengths) <= 6 else (*lengths[:3], *lengths[-2:])))
