"""Reads the fields of a mapping by name and kind; null counts as not given and takes the default."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from determined.domain.config.bounds import MAX_INT64, MIN_INT64
from determined.domain.config.node import Node
from determined.domain.config.report import suggestion

D = TypeVar("D")
V = TypeVar("V")


class Fields:
    """The fields of one mapping; those that nobody asked for are reported by ``done``.

    Every reader gives the default after a problem too. ``needed`` makes a field required and says what to give.
    """

    def __init__(self, node: Node) -> None:
        self.path = node.path
        self.report = node.report
        self._is_mapping = isinstance(node.value, dict)
        self._given: dict[str, Any] = node.value if self._is_mapping else {}
        self._known: dict[str, None] = {}
        self._skipped: set[str] = set()
        if not self._is_mapping:
            node.must_be("a mapping")

    def find(self, name: str, *, needed: str = "") -> Node | None:
        """A field, or None when it is not given."""
        self._known[name] = None
        value = self._given.get(name)
        if value is not None:
            return Node(value, (*self.path, name), self.report)
        if needed and self._is_mapping:
            self.refuse(name, f"is missing; {needed}")
        return None

    def text(self, name: str, default: D, *, needed: str = "", secret: bool = False) -> str | D:
        """A text; an empty one counts as not given unless the field is needed."""
        node = self._text(name, needed)
        return _or(node and node.text(secret=secret), default)

    def name(self, name: str, default: D, *, needed: str = "") -> str | D:
        """A text on one line; an empty one counts as not given unless the field is needed."""
        node = self._text(name, needed)
        return _or(node and node.name(), default)

    def integer(
        self, name: str, default: D, *, least: int = MIN_INT64, most: int = MAX_INT64, needed: str = ""
    ) -> int | D:
        """A whole number in a range."""
        node = self.find(name, needed=needed)
        return _or(node and node.integer(least=least, most=most), default)

    def number(self, name: str, default: D, *, needed: str = "") -> float | D:
        """A finite number."""
        node = self.find(name, needed=needed)
        return _or(node and node.number(), default)

    def boolean(self, name: str, default: bool) -> bool:
        """True or false."""
        node = self.find(name)
        return _or(node and node.boolean(), default)

    def boolean_or_none(self, name: str) -> bool | None:
        """True or false; None if it is left out."""
        node = self.find(name)
        return node and node.boolean()

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        """One of several names."""
        node = self.find(name)
        return _or(node and node.choice(choices), default)

    def names(self, name: str) -> tuple[str, ...]:
        """A list of texts on one line each."""
        node = self.find(name)
        return node.names() if node else ()

    def fields(self, name: str) -> Fields:
        """A mapping; empty when not given."""
        node = self.find(name)
        return Fields(node or Node({}, (*self.path, name), self.report))

    def free(self, name: str) -> dict[str, Any]:
        """A mapping of anything that JSON can hold; empty when not given."""
        node = self.find(name)
        if node is None:
            return {}
        value = node.json()
        if not isinstance(value, dict):
            node.must_be("a mapping")
            return {}
        return value

    def present(self, name: str) -> Node | None:
        """A field where null is a value like any other, or None when it is absent."""
        self._known[name] = None
        return Node(self._given[name], (*self.path, name), self.report) if name in self._given else None

    def members(self) -> Iterator[Node]:
        """All members, for a mapping whose keys are the user's own; null members too."""
        for name, value in self._given.items():
            self._known[name] = None
            yield Node(value, (*self.path, name), self.report)

    def __contains__(self, name: str) -> bool:
        return self._given.get(name) is not None

    def unknown(self) -> list[str]:
        """Members that nobody asked for so far."""
        return [name for name in self._given if name not in self._known and name not in self._skipped]

    def skip(self, name: str) -> None:
        """Take a field as seen to, without reading it."""
        self._skipped.add(name)

    def refuse(self, name: str, message: str) -> None:
        """Note a problem with a field, given or not."""
        self.report.add((*self.path, name), message)

    def done(self) -> None:
        """Report what nobody asked for, with the nearest known name."""
        for name in self.unknown():
            hint = "" if self.report.is_full else suggestion(name, self._known)
            self.refuse(name, f"is not a known field{hint or '; known here: ' + ', '.join(self._known)}")

    def _text(self, name: str, needed: str) -> Node | None:
        node = self.find(name, needed=needed)
        return None if node is not None and node.value == "" and not needed else node


def _or(value: V | None, default: D) -> V | D:
    return default if value is None else value
