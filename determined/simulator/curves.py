"""Where metrics come from when nothing is trained: recorded curves, and the policy for what was not recorded."""

from __future__ import annotations

import bisect
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from determined.domain.hparams import Const, Int, Space
from determined.errors import InvalidInput, NotFound
from determined.simulator.metrics import number_in

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
        metrics: one for each length; the metric of the search. NaN is a metric, too.

    Raises:
        InvalidInput: something else is given, or not as many lengths as metrics.
    """

    hparams: Mapping[str, Any]
    lengths: tuple[float, ...]
    metrics: tuple[float, ...]

    def __init__(self, hparams: Mapping[str, Any], lengths: Iterable[float], metrics: Iterable[float]) -> None:
        if not isinstance(hparams, Mapping):
            raise InvalidInput(f"the hyperparameters of a curve are a mapping of names to values, not {hparams!r:.80}")
        whose = f"of the curve of {_shown(hparams)}"
        places, values = _numbers(f"lengths {whose}", lengths), _numbers(f"metrics {whose}", metrics)
        is_ascending = all(a < b for a, b in itertools.pairwise(places)) and all(map(math.isfinite, places))
        if not places or len(places) != len(values) or not is_ascending:
            raise InvalidInput(
                f"the curve of {_shown(hparams)} has {len(places)} lengths ({_listed(places)}) and {len(values)} "
                "metrics; it needs as many of both, at least one, and ascending lengths"
            )
        object.__setattr__(self, "hparams", hparams)
        object.__setattr__(self, "lengths", places)
        object.__setattr__(self, "metrics", values)


def _numbers(name: str, values: Iterable[Any]) -> tuple[float, ...]:
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise InvalidInput(f"{name} is a list of numbers, not {values!r:.80}")
    given = tuple(values)
    kinds = set(map(type, given))
    if kinds == {float} or (kinds == {int} and max(map(abs, given)) < 2**63):
        return given
    found = []
    for value in given:
        number = number_in(value)
        if number is None:
            raise InvalidInput(f"{name} holds {value!r:.80}, which is no number")
        found.append(number)
    return tuple(found)


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
            raise InvalidInput("a table needs at least one curve; trials that reported no number have none")
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
        cls, source: Any, *, lengths: Iterable[float] | None = None, metric: str = "metric", outside: str = "refuse"
    ) -> Table:
        """Read recorded curves.

        Args:
            source: one of

                - ``Curve`` values;
                - a NumPy array or nested list ``float (trials, lengths)``: its rows get the hyperparameter ``row``. NaN
                  at the end of a row stands for what was not recorded; before a number it is a metric that is NaN;
                - a pandas DataFrame with a column ``length``, one of the metric, and any others for the
                  hyperparameters: a line for each validation, whose metric may be NaN;
                - the path of a Parquet file with such a frame;
                - the path of a recorded experiment, ``*.detrec``, or any object whose method ``curves()`` lists
                  ``Curve`` values, such as a ``Recording``: trials that reported no number have no curve.
            lengths: of the columns of an array; 1, 2, 3 ... by default.
            metric: name of the metric's column.
            outside: ``"refuse"`` or ``"nearest"``.

        Raises:
            InvalidInput: the source is none of these, or cannot be read.
            CorruptState: a recorded experiment is damaged or of a newer version.
        """
        if isinstance(source, Table):
            return source
        if isinstance(source, (str, Path)):
            from determined.simulator.files import read_file

            source = read_file(Path(source))
        if hasattr(source, "groupby"):
            from determined.simulator.frames import curves_of_frame

            return cls(tuple(curves_of_frame(source, metric)), outside)
        if callable(getattr(source, "curves", None)):
            return cls(tuple(source.curves()), outside)
        rows = _rows(source)
        if all(isinstance(row, Curve) for row in rows):
            return cls(tuple(rows), outside)
        places = None if lengths is None else _numbers("lengths of the table", lengths)
        return cls(tuple(_row_curve(n, row, places) for n, row in enumerate(rows)), outside)

    def __len__(self) -> int:
        return len(self.curves)

    def space(self) -> Space:
        """The search space whose points are the rows: one integer hyperparameter ``row``, all of it on a grid.

        The row of a table with only one is a constant.
        """
        rows = len(self.curves)
        return Space.of({ROW: Int(0, rows - 1, rows) if rows > 1 else Const(0)})

    def hparams(self, row: int) -> Mapping[str, Any]:
        """The recorded hyperparameters of a row."""
        return self.curves[row].hparams

    def __call__(self, hparams: Mapping[str, Any], length: float) -> float:
        """The metric of a point at a length.

        Raises:
            NotRecorded: it is not in the table, and may not be replaced.
        """
        row = hparams.get(ROW) if len(hparams) == 1 else None
        curve = self.curves[row if row in self._numbers and type(row) is int else self.row_of(hparams)]
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


def _rows(source: Any) -> list[Any]:
    """What is listed in a source: curves, or rows as lists."""
    if hasattr(source, "tolist"):
        source = source.tolist()
    is_listed = isinstance(source, Iterable) and not isinstance(source, (bytes, Mapping))
    rows = [row.tolist() if hasattr(row, "tolist") else row for row in source] if is_listed else [source]
    if not all(isinstance(row, Curve) for row in rows):
        for row in rows:
            if not isinstance(row, Sequence) or isinstance(row, (str, bytes)):
                raise InvalidInput(
                    "a table is read from curves, an array (trials, lengths), a frame, or the path of a Parquet file "
                    f"or of a recorded experiment (.detrec), not from {row!r:.80}"
                )
    return rows


def _row_curve(number: int, metrics: Iterable[Any], lengths: Sequence[float] | None) -> Curve:
    values = _numbers(f"metrics of row {number} of the table", metrics)
    places = range(1, len(values) + 1) if lengths is None else lengths
    if len(places) != len(values):
        raise InvalidInput(
            f"row {number} of the table has {len(values)} metrics for {len(places)} lengths; give a length for each "
            "column, and NaN at the end of a row for what was not recorded"
        )
    # Arrays of curves that end sooner or later are padded with NaN.
    recorded = next((n for n in range(len(values), 0, -1) if not math.isnan(values[n - 1])), 0)
    if values and not recorded:
        raise InvalidInput(
            f"row {number} of the table holds nothing but NaN, which at the end of a row stands for what was not "
            "recorded; leave it out, or give its metrics as a Curve"
        )
    return Curve({ROW: number}, places[:recorded], values[:recorded])


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
