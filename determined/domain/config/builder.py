"""Builds plain data from YAML events, without recursion and within bounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from determined.domain.config.bounds import MAX_DEPTH, MAX_VALUES, weight_of
from determined.domain.config.paths import Path, path_text, text_flaw
from determined.domain.config.scalars import scalar
from determined.errors import Problem

_MERGE = "<<"


class Fatal(Exception):
    """Reading must stop here."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


@dataclass(slots=True)
class _Built:
    """A finished value: ``weight`` values in all, ``height`` containers deep."""

    value: Any
    weight: int
    height: int = 0


@dataclass(slots=True)
class _Frame:
    """A container whose end has not come yet."""

    value: Any
    line: int
    anchor: str | None
    weight: int = 1
    height: int = 1
    marks: dict[str | int, int] = field(default_factory=dict)
    key: str | None = None
    """The key that waits for its value."""
    is_dropped: bool = False
    """The value of this key is not wanted: the key came before."""
    is_merge: bool = False
    merged: list[Any] = field(default_factory=list)

    @property
    def expects_key(self) -> bool:
        return isinstance(self.value, dict) and self.key is None


class Builder:
    """Takes the events of a text one by one.

    Attributes:
        root: the finished document; None before that, and for an empty text.
        problems: what is wrong but does not keep the rest from being read.
        marks: line of each member of a container, by the id of the container.
    """

    def __init__(self) -> None:
        self.root: Any = None
        self.problems: list[Problem] = []
        self.marks: dict[int, dict[str | int, int]] = {}
        self._documents = 0
        self._total = 0
        self._stack: list[_Frame] = []
        self._anchors: dict[str, _Built | None] = {}

    def feed(self, event: Any) -> None:
        """Take the next event.

        Raises:
            Fatal: a bound is passed, or the text cannot mean anything.
        """
        line = event.start_mark.line + 1
        if isinstance(event, yaml.ScalarEvent):
            self._on_scalar(event, line)
        elif isinstance(event, yaml.MappingStartEvent):
            self._on_start({}, event, line)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._on_start([], event, line)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._on_end()
        elif isinstance(event, yaml.AliasEvent):
            self._on_alias(event.anchor, line)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise Fatal("holds a second document ('---'); keep one", line)

    def _on_scalar(self, event: Any, line: int) -> None:
        text: str = event.value
        is_plain = event.tag is None and event.implicit[0]
        self._count(weight_of(text), line)
        if self._stack and self._stack[-1].expects_key:
            self._remember(event.anchor, _Built(text, weight_of(text)))
            self._refuse_tag(event.tag, line)
            self._on_key(text, line, is_merge=is_plain and text == _MERGE)
            return
        self._refuse_tag(event.tag, line)
        built = _Built(self._plain(text, line) if is_plain else self._checked(text, line), weight_of(text))
        self._remember(event.anchor, built)
        self._attach(built, line)

    def _on_start(self, container: Any, event: Any, line: int) -> None:
        self._count(1, line)
        if len(self._stack) >= MAX_DEPTH:
            raise Fatal(f"is nested more than {MAX_DEPTH} levels deep; flatten it", line)
        if self._stack and self._stack[-1].expects_key:
            raise Fatal("has a mapping or list as a key; keys are text, quote it if it is meant as text", line)
        self._refuse_tag(event.tag, line)
        # While it is open, an alias to it would make a loop.
        self._remember(event.anchor, None)
        self._stack.append(_Frame(container, line, event.anchor))

    def _on_end(self) -> None:
        frame = self._stack.pop()
        for source in frame.merged:
            self._merge(frame, source)
        self.marks[id(frame.value)] = frame.marks
        built = _Built(frame.value, frame.weight, frame.height)
        self._remember(frame.anchor, built)
        self._attach(built, frame.line)

    def _on_alias(self, anchor: Any, line: int) -> None:
        if anchor not in self._anchors:
            raise Fatal(f"uses *{anchor:.60} before &{anchor:.60} is defined", line)
        built = self._anchors[anchor]
        if built is None:
            raise Fatal(f"uses *{anchor:.60} inside of what it stands for", line)
        self._count(built.weight, line)
        if len(self._stack) + built.height > MAX_DEPTH:
            raise Fatal(f"is nested more than {MAX_DEPTH} levels deep with aliases expanded; flatten it", line)
        if not self._stack[-1].expects_key:
            self._attach(built, line)
        elif isinstance(built.value, str):
            self._on_key(built.value, line, is_merge=False)
        else:
            raise Fatal(f"uses *{anchor:.60}, which is not text, as a key", line)

    def _on_key(self, key: str, line: int, *, is_merge: bool) -> None:
        frame = self._stack[-1]
        frame.key = key
        frame.is_merge = is_merge
        frame.is_dropped = key in frame.marks
        if frame.is_dropped:
            self._problem(f"is given twice, on lines {frame.marks[key]} and {line}; keep one", line)
        else:
            frame.marks[key] = line
        self._checked(key, line)

    def _attach(self, built: _Built, line: int) -> None:
        """Put a finished value where it belongs."""
        if not self._stack:
            self.root = built.value
            return
        frame = self._stack[-1]
        frame.weight += built.weight
        frame.height = max(frame.height, built.height + 1)
        if isinstance(frame.value, list):
            frame.marks[len(frame.value)] = line
            frame.value.append(built.value)
            return
        if frame.is_merge:
            self._on_merge(frame, built.value, line)
        elif not frame.is_dropped:
            frame.value[frame.key] = built.value
        frame.key = None

    def _on_merge(self, frame: _Frame, value: Any, line: int) -> None:
        sources = value if isinstance(value, list) else [value]
        if all(isinstance(source, dict) for source in sources):
            frame.merged.extend(sources)
        else:
            self._problem("takes mappings only, e.g. '<<: *name'", line)

    def _merge(self, frame: _Frame, source: dict[str, Any]) -> None:
        """Add the members that the mapping does not have itself."""
        marks = self.marks[id(source)]
        for key, value in source.items():
            if key not in frame.value:
                frame.value[key] = value
                frame.marks[key] = marks[key]

    def _plain(self, text: str, line: int) -> Any:
        try:
            return scalar(text)
        except ValueError as error:
            self._problem(f"{error}; if it is meant as text, put it in quotes", line)
            return None

    def _checked(self, text: str, line: int) -> str:
        flaw = text_flaw(text)
        if flaw is not None:
            self._problem(flaw, line)
        return text

    def _refuse_tag(self, tag: str | None, line: int) -> None:
        if tag is not None:
            short = tag.replace("tag:yaml.org,2002:", "!!")
            self._problem(f"has the tag {short:.60}; tags are not supported, write the plain value", line)

    def _remember(self, anchor: str | None, built: _Built | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = built

    def _count(self, weight: int, line: int) -> None:
        self._total += weight
        if self._total > MAX_VALUES:
            raise Fatal(f"has more than {MAX_VALUES} values with aliases expanded; put data into files", line)

    def _problem(self, message: str, line: int) -> None:
        path: Path = ()
        for frame in self._stack:
            if isinstance(frame.value, list):
                path = (*path, len(frame.value))
            elif frame.key is not None:
                path = (*path, frame.key)
        self.problems.append(Problem(path_text(path), message, line))
