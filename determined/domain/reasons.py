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

    __slots__ = ("numbers",)
    numbers: Mapping[str, Number]

    def __new__(cls, text: str, /, **numbers: Number) -> Reason:
        """Fill the numbers into the text."""
        shown = {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in numbers.items()}
        self = super().__new__(cls, text.format_map(shown) if numbers else text)
        self.numbers = numbers
        return self

    @classmethod
    def told(cls, text: str, /, **numbers: Number) -> Reason:
        """A reason whose text is complete already."""
        self = super().__new__(cls, text)
        self.numbers = numbers
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (_told, (str(self), dict(self.numbers)))


def _told(text: str, numbers: Mapping[str, Number]) -> Reason:
    return Reason.told(text, **numbers)


def numbers_of(reason: str | None) -> Mapping[str, Number]:
    """The numbers that came with a reason; empty for none and for plain text."""
    return reason.numbers if isinstance(reason, Reason) else {}
