"""Parameters in the query of a request: by name in either spelling, checked, and typed."""

from __future__ import annotations

import enum
import re
from typing import Final, TypeVar
from urllib.parse import parse_qsl

from determined.errors import InvalidInput
from determined.wire.requests import camel

MAX_PARAMETERS: Final = 10_000
MAX_QUERY: Final = 1 << 18

_INTEGER = re.compile(r"-?[0-9]{1,19}(\.0*)?", re.ASCII)
_TRUE: Final = frozenset({"true", "1", "t"})
_FALSE: Final = frozenset({"false", "0", "f"})

E = TypeVar("E", bound=enum.Enum)


def integer(what: str, text: str, low: int = -(2**31), high: int = 2**31 - 1) -> int:
    """A number out of a path or query.

    Raises:
        InvalidInput: it is none, or out of range.
    """
    number = int(text.partition(".")[0]) if _INTEGER.fullmatch(text) else None
    if number is None or not low <= number <= high:
        raise InvalidInput(f"{what} must be an integer between {low} and {high}, got {text[:40]!a}")
    return number


class Query:
    """The parameters of one request."""

    def __init__(self, raw: bytes) -> None:
        self._values: dict[str, list[str]] = {}
        if not raw:
            return
        if len(raw) > MAX_QUERY:
            raise InvalidInput(f"the query has {len(raw)} bytes (allowed: {MAX_QUERY})")
        try:
            pairs = parse_qsl(
                raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS
            )
        except ValueError as error:
            raise InvalidInput(f"the query cannot be read: {error}") from None
        for name, value in pairs:
            if "\0" in value:
                raise InvalidInput(f"the parameter {name[:40]!a} holds a NUL character")
            self._values.setdefault(camel(name), []).append(value)

    def texts(self, name: str) -> tuple[str, ...]:
        """Every value of a parameter that may be repeated."""
        return tuple(self._values.get(name, ()))

    def text(self, name: str, default: str = "") -> str:
        """The last value of a parameter."""
        return self._values[name][-1] if name in self._values else default

    def integers(self, name: str, low: int = -(2**31)) -> tuple[int, ...]:
        """Every value, as numbers."""
        return tuple(integer(name, text, low) for text in self.texts(name) if text)

    def integer(self, name: str, default: int = 0, low: int = -(2**31)) -> int:
        """One number."""
        text = self.text(name)
        return integer(name, text, low) if text else default

    def optional_integer(self, name: str) -> int | None:
        """One number, or None when it is absent."""
        text = self.text(name)
        return integer(name, text) if text else None

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """One number with a fraction, cut to its range."""
        text = self.text(name)
        try:
            value = float(text) if text else default
        except ValueError:
            value = float("nan")
        if value != value:
            raise InvalidInput(f"{name} must be a number, got {text[:40]!a}")
        return min(max(value, low), high)

    def boolean(self, name: str) -> bool:
        """One truth value, false when absent."""
        return self.optional_boolean(name) or False

    def optional_boolean(self, name: str) -> bool | None:
        """One truth value, or None when it is absent."""
        text = self.text(name).lower()
        if not text:
            return None
        if text not in _TRUE | _FALSE:
            raise InvalidInput(f"{name} must be true or false, got {text[:40]!a}")
        return text in _TRUE

    def members(self, name: str, prefix: str, kind: type[E]) -> tuple[E, ...]:
        """Every value, as members of an enumeration that carry a prefix on the wire."""
        return tuple(member(name, text, prefix, kind) for text in self.texts(name) if text)


def member(what: str, text: str, prefix: str, kind: type[E]) -> E:
    """The member that a name with or without its prefix stands for.

    Raises:
        InvalidInput: there is none.
    """
    try:
        return kind(text.upper().removeprefix(prefix))
    except ValueError:
        allowed = ", ".join(f"{prefix}{m.value}" for m in kind)
        raise InvalidInput(f"{what}: there is no {text[:40]!a} (allowed: {allowed})") from None
