"""Why a search method decided something: a sentence for people, and the numbers in it for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Number = int | float | str


class Reason(str):
    """A short text that explains an operation, with the numbers that were used.

    ``Reason("rank {rank} of {of}, inside the top 1/{divisor}", rank=3, of=40, divisor=4)`` reads "rank 3 of 40, inside
    the top 1/4". Floats are written with up to six significant digits; ``numbers`` keeps them whole.

    Attributes:
        numbers: the values by name; empty for a plain text.

    Raises:
        KeyError: the text names a number that was not given.
    """

    __slots__ = ("_names", "_values")
    _names: tuple[str, ...]
    _values: tuple[Number, ...]

    def __new__(cls, text: str, /, **numbers: Number) -> Reason:
        """Fill the numbers into the text."""
        shown = {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in numbers.items()}
        return cls.of(text.format_map(shown) if numbers else text, tuple(numbers), tuple(numbers.values()))

    @classmethod
    def told(cls, text: str, /, **numbers: Number) -> Reason:
        """A reason whose text is complete already."""
        return cls.of(text, tuple(numbers), tuple(numbers.values()))

    @classmethod
    def of(cls, text: str, names: tuple[str, ...], values: tuple[Number, ...]) -> Reason:
        """The same, for those who make many: all that have the same names share the one tuple of them."""
        self = str.__new__(cls, text)
        self._names, self._values = names, values
        return self

    @property
    def numbers(self) -> Mapping[str, Number]:
        """The values by name."""
        return dict(zip(self._names, self._values, strict=True))

    def __reduce__(self) -> tuple[Any, ...]:
        return (Reason.of, (str(self), self._names, self._values))


def numbers_of(reason: str | None) -> Mapping[str, Number]:
    """The numbers that came with a reason; empty for none and for plain text."""
    return reason.numbers if isinstance(reason, Reason) else {}
