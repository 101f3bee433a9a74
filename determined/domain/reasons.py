"""Why a search method decided something: a sentence for people, and the numbers in it for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Number = int | float | str


class Explanation:
    """A text that is written when somebody reads it: a search gives many reasons, and few of them are looked at.

    It equals its text, and is added, cut, sorted and searched like one; ``str`` of it is the text itself, for all that
    takes nothing else, such as JSON and regular expressions.
    """

    # No abstract base class: the structs that are reasons have a metaclass already.
    __slots__ = ()

    @property
    def numbers(self) -> Mapping[str, Number]:
        """The values by name; empty for a plain text."""
        raise NotImplementedError

    def __str__(self) -> str:
        raise NotImplementedError

    def __repr__(self) -> str:
        return repr(str(self))

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other) if isinstance(other, (str, Explanation)) else NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))

    def __lt__(self, other: str | Explanation) -> bool:
        return str(self) < str(other)

    def __add__(self, other: str | Explanation) -> str:
        return str(self) + str(other)

    def __radd__(self, other: str) -> str:
        return other + str(self)

    def __getitem__(self, where: int | slice) -> str:
        return str(self)[where]

    def __iter__(self) -> Iterator[str]:
        return iter(str(self))

    def __len__(self) -> int:
        return len(str(self))

    def __contains__(self, part: str | Explanation) -> bool:
        return str(part) in str(self)

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __getattr__(self, name: str) -> Any:
        # What a text has beside what is defined here. Nobody is to find protocols of Python that this class has not.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(str(self), name)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Reason._of, (str(self), dict(self.numbers)))


class Reason(Explanation):
    """A short text that explains an operation, with the numbers that were used.

    ``Reason("rank {rank} of {of}, inside the top 1/{divisor}", rank=3, of=40, divisor=4)`` reads "rank 3 of 40, inside
    the top 1/4". Floats are written with up to six significant digits; ``numbers`` keeps them whole.

    Attributes:
        numbers: the values by name; empty for a plain text.

    Raises:
        KeyError: the text names a number that was not given.
    """

    __slots__ = ("_numbers", "_text")
    _text: str
    _numbers: Mapping[str, Number]

    def __init__(self, text: str, /, **numbers: Number) -> None:
        shown = {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in numbers.items()}
        self._text = text.format_map(shown) if numbers else text
        self._numbers = numbers

    @classmethod
    def told(cls, text: str, /, **numbers: Number) -> Reason:
        """A reason whose text is complete already."""
        return cls._of(text, numbers)

    @classmethod
    def _of(cls, text: str, numbers: Mapping[str, Number]) -> Reason:
        self = object.__new__(cls)
        self._text, self._numbers = text, numbers
        return self

    @property
    def numbers(self) -> Mapping[str, Number]:
        """The values by name."""
        return dict(self._numbers)

    def __str__(self) -> str:
        return self._text


def numbers_of(reason: str | Explanation | None) -> Mapping[str, Number]:
    """The numbers that came with a reason; empty for none and for plain text."""
    return reason.numbers if isinstance(reason, Explanation) else {}
