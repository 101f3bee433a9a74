"""How long to train: a whole number of batches, records or epochs, or of whatever a script makes of it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from determined.errors import InvalidInput

MAX_UNITS = 2**63 - 1
"""Lengths are 64-bit integers on the wire."""


class Unit(str, enum.Enum):
    """What a length counts; the value is the key in a configuration."""

    BATCHES = "batches"
    RECORDS = "records"
    EPOCHS = "epochs"


_ALLOWED = "a whole number or one of {batches: n}, {records: n}, {epochs: n}"


@dataclass(frozen=True, slots=True)
class Length:
    """An absolute amount of training, counted from the start of a trial.

    Attributes:
        units: 0 .. 2**63 - 1.
        unit: None when the configuration gives a plain number.

    Raises:
        InvalidInput: ``units`` is not an integer in that range.
    """

    units: int
    unit: Unit | None = None

    def __post_init__(self) -> None:
        if isinstance(self.units, bool) or not isinstance(self.units, int):
            raise InvalidInput(f"a length is a whole number, not {self.units!r:.60}; write {_ALLOWED}")
        if not 0 <= self.units <= MAX_UNITS:
            raise InvalidInput(f"a length is a whole number from 0 to {MAX_UNITS}, not {_shortened(self.units)}")

    @classmethod
    def parse(cls, value: object, *, least: int = 1) -> Length:
        """Read a plain number or a mapping of one unit.

        Args:
            value: what the configuration holds, e.g. ``100`` or ``{"batches": 100}``.
            least: smallest number allowed.

        Raises:
            InvalidInput: several units, an unknown unit, or a number that is no integer or out of range.
        """
        unit = None
        if isinstance(value, Mapping):
            value, unit = _sole_unit(value)
        length = cls(value, unit)  # type: ignore[arg-type]  # the constructor checks it
        if length.units < least:
            raise InvalidInput(f"a length is at least {least} here, not {length.units}")
        return length

    def to_json(self) -> int | dict[str, int]:
        """The length as a configuration writes it."""
        return self.units if self.unit is None else {self.unit.value: self.units}


def _sole_unit(value: Mapping[object, object]) -> tuple[object, Unit]:
    """The number and unit of a mapping; null members count as not given."""
    given = {key: units for key, units in value.items() if units is not None}
    names = [unit.value for unit in Unit]
    for key in given:
        if key not in names:
            raise InvalidInput(f"unknown unit {key!r:.60}; a length is {_ALLOWED}")
    if len(given) != 1:
        found = " and ".join(str(key) for key in given) or "none"
        raise InvalidInput(f"a length has exactly one unit, found {found}; write {_ALLOWED}")
    [(key, units)] = given.items()
    return units, Unit(key)


def _shortened(number: int) -> str:
    # Very long integers cannot be printed quickly, or at all.
    return str(number) if number.bit_length() <= 128 else f"a number of {number.bit_length()} bits"
