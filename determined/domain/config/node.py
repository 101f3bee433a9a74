"""One value of a configuration with its place, and the checks of its kind.

Every check reports what is wrong and then gives None, so that reading goes on and finds all problems.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from determined.domain.config.bounds import MAX_INT64, MAX_NAME, MAX_TEXT, MIN_INT64
from determined.domain.config.paths import Path, shown
from determined.domain.config.report import Report, suggestion
from determined.domain.lengths import Length
from determined.errors import InvalidInput

_BOOLEAN_WORDS = frozenset({"true", "false", "yes", "no", "on", "off"})


@final
@dataclass(frozen=True, slots=True)
class Node:
    """A value that was given, and where."""

    value: Any
    path: Path
    report: Report = field(repr=False)

    def refuse(self, message: str) -> None:
        """Note a problem with this value."""
        self.report.add(self.path, message)

    def must_be(self, what: str, hint: str = "") -> None:
        """Note that the value is of the wrong kind, and show it."""
        self.refuse(f"must be {what}, not {shown(self.value)}{hint}")

    def text(self, *, limit: int = MAX_TEXT, secret: bool = False, blank: bool = False) -> str | None:
        """A text; not blank unless ``blank`` allows it. A ``secret`` is never shown."""
        value = self.value
        if not isinstance(value, str):
            hint = "; put it in quotes" if isinstance(value, (bool, int, float)) else ""
            self.refuse(f"must be text, not {'a value of another type' if secret else shown(value)}{hint}")
        elif not blank and not value.strip():
            self.refuse("must not be blank")
        elif len(value) > limit:
            self.refuse(f"has {len(value)} characters (at most {limit}); shorten it")
        else:
            return value
        return None

    def name(self) -> str | None:
        """A text on one line."""
        text = self.text(limit=MAX_NAME)
        if text is None or not has_control(text):
            return text
        self.must_be("a single line without control characters")
        return None

    def integer(self, *, least: int = MIN_INT64, most: int = MAX_INT64) -> int | None:
        """A whole number in a range."""
        value = self.value
        wanted = f"a whole number{_span(least, most)}"
        if isinstance(value, bool) or not isinstance(value, int):
            is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
            self.must_be(wanted, f"; write it as {int(value)}" if is_whole else "")
        elif not least <= value <= most:
            # One bound alone explains nothing when it is the other one, that of 64 bits, which does not hold.
            is_told = most < MAX_INT64 if value > most else least > MIN_INT64
            self.must_be(wanted if is_told else f"a whole number from {least} to {most}")
        else:
            return value
        return None

    def number(self) -> float | None:
        """A finite number; an integer stays one."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.must_be("a number")
        elif not _fits(value):
            self.must_be("a finite number within 64 bits")
        else:
            return value
        return None

    def boolean(self) -> bool | None:
        """True or false."""
        value = self.value
        if isinstance(value, bool):
            return value
        is_quoted = isinstance(value, str) and value.lower() in _BOOLEAN_WORDS
        self.must_be("true or false", "; remove the quotes" if is_quoted else "")
        return None

    def choice(self, choices: Sequence[str]) -> str | None:
        """One of several names."""
        value = self.value
        if isinstance(value, str) and value in choices:
            return value
        self.must_be(f"one of {', '.join(choices)}", suggestion(value, choices))
        return None

    def length(self, *, least: int = 1) -> Length | None:
        """An amount of training."""
        try:
            return Length.parse(self.value, least=least)
        except InvalidInput as error:
            self.refuse(str(error))
            return None

    def items(self) -> Iterator[Node]:
        """The members of a list; none after a problem."""
        if not isinstance(self.value, list):
            self.must_be("a list")
            return
        for index, value in enumerate(self.value):
            yield Node(value, (*self.path, index), self.report)

    def names(self) -> tuple[str, ...]:
        """A list of texts on one line each; bad members are reported and left out."""
        found = (node.name() for node in self.items())
        return tuple(name for name in found if name is not None)

    def texts(self) -> tuple[str, ...]:
        """A list of texts; bad members are reported and left out."""
        found = (node.text(blank=True) for node in self.items())
        return tuple(text for text in found if text is not None)

    def json(self) -> Any:
        """Any value; a number that JSON cannot hold is reported."""
        for inner in _walk(self):
            if isinstance(inner.value, (int, float)) and not _fits(inner.value):
                inner.refuse("must be a finite number within 64 bits; write others as text, in quotes")
        return self.value


def has_control(text: str) -> bool:
    """Whether a text holds a control character, line breaks and tabs included."""
    return any(char < " " or "\x7f" <= char <= "\x9f" or char in "\u2028\u2029" for char in text)


def _fits(number: float) -> bool:
    # An integer of any size is finite, so it has bounds of its own.
    return MIN_INT64 <= number <= MAX_INT64 if isinstance(number, int) else math.isfinite(number)


def _span(least: int, most: int) -> str:
    if least == MIN_INT64:
        return ""
    return f" of at least {least}" if most == MAX_INT64 else f" from {least} to {most}"


def _walk(node: Node) -> Iterator[Node]:
    """A value and everything in it."""
    yield node
    members: Any = ()
    if isinstance(node.value, dict):
        members = node.value.items()
    elif isinstance(node.value, list):
        members = enumerate(node.value)
    for key, value in members:
        yield from _walk(Node(value, (*node.path, key), node.report))
