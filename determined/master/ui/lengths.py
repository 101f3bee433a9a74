"""How far trials have come, in the unit of their experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from determined.domain.records import Experiment
from determined.storage.protocol import TrialRow

_SAME: Final = (0.5, 2.0)
"""Units per batch between which both are taken for the same count: the two are reported at different moments."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the configuration of an experiment says about its size; None for what it leaves open.

    Attributes:
        unit: of lengths, "" if it has none.
        longest: what trials train to that are not stopped before.
        planned: how many trials there will be.
    """

    unit: str
    longest: int | None
    planned: int | None


def shape_of(experiment: Experiment) -> Shape:
    """Read it from the configuration."""
    searcher = msgspec.json.decode(experiment.config, type=_Config).searcher
    length, unit = searcher.get("max_length"), searcher.get("unit") or ""
    if isinstance(length, Mapping) and len(length) == 1:
        [(unit, length)] = length.items()
    planned = searcher.get("max_trials") or (1 if searcher.get("name") == "single" else None)
    return Shape(str(unit), _whole(length), _whole(planned))


class _Config(msgspec.Struct, frozen=True):
    searcher: dict[str, Any] = {}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def reached(row: TrialRow) -> float:
    """How far a trial has come; where it never said so, the batches of its reports tell."""
    return row.units if row.units > 0 else float(row.total_batches)


def units_per_batch(row: TrialRow, unit: str) -> float:
    """What the steps of a trial's reports are multiplied with to get units.

    Reports name batches. Where the experiment counts in something else, the trial's own progress tells the relation.
    """
    if unit == "batches" or row.units <= 0 or row.total_batches <= 0:
        return 1.0
    ratio = row.units / row.total_batches
    return 1.0 if _SAME[0] <= ratio <= _SAME[1] else ratio
