"""Answers that were saved since a generation: a line for each, with all that it takes to go on after it.

To append a line and wait for the disk once takes a fraction of making a generation, and a trial waits for it. Each line
vouches for itself and for those before it. A line that a crash has cut off was never sent, so it is left out.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from determined import files
from determined.domain.events import SearcherEvent
from determined.domain.operations import Operation
from determined.searcher.event import QueuedEvent
from determined.searcher.event_log import read_lines
from determined.wire.searcher import operation_to_json, operations_from_json

MOST = 256
"""Answers after which a generation is due."""
MOST_BYTES = 1 << 20
MOST_OF_METHOD = 1 << 16
"""Bytes of a method's files that go into a line."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One answer.

    Attributes:
        events: that were handled since the answer before, as JSON.
        operations: the answer to those after ``answered``, as JSON.
        texts, blobs: the method's files by name, after it; both None if it is found from the events.
    """

    last_event_id: int
    answered: int
    events: list[msgspec.Raw]
    operations: list[Any]
    texts: dict[str, str] | None = None
    blobs: dict[str, bytes] | None = None

    def read_events(self) -> Iterator[tuple[int, SearcherEvent]]:
        """The events with their ids.

        Raises:
            CorruptState: one of them is none.
        """
        return read_lines([bytes(event) for event in self.events], f"the answer to event {self.last_event_id}")

    def read_operations(self) -> list[Operation]:
        """The operations as values."""
        return operations_from_json(self.operations)

    def unpack(self, folder: Path) -> None:
        """Write the method's files into an empty folder."""
        contents = {name: text.encode() for name, text in (self.texts or {}).items()} | (self.blobs or {})
        for name, content in contents.items():
            path = folder / name
            with files.action("runner.state.unpack.folder"):
                path.parent.mkdir(parents=True, exist_ok=True)
            files.write_file(path, content, "runner.state.unpack", sync=False)


def answer_of(
    last_event_id: int,
    events: Sequence[QueuedEvent],
    operations: Sequence[Operation],
    contents: Mapping[str, bytes] | None,
) -> Answer:
    """An answer to be saved; ``contents`` are the method's files, None if it is found from the events."""
    texts: dict[str, str] = {}
    blobs: dict[str, bytes] = {}
    for name, content in (contents or {}).items():
        try:
            texts[name] = content.decode()
        except UnicodeDecodeError:
            blobs[name] = content
    return Answer(
        last_event_id=last_event_id,
        answered=events[0].id - 1 if events else last_event_id,
        events=[msgspec.Raw(json.dumps(e.to_json(), separators=(",", ":")).encode()) for e in events],
        operations=[operation_to_json(op) for op in operations],
        texts=None if contents is None else texts,
        blobs=None if contents is None else blobs,
    )


class _Sealed(msgspec.Struct):
    sha256: str
    body: msgspec.Raw


class AnswerLog:
    """The answers since one generation, in a file whose name belongs to it alone.

    Attributes:
        count: answers in it.
        size: bytes that they take.
        is_damaged: there is more in the file, which is neither an answer nor what a crash leaves of one.
    """

    def __init__(self, path: Path) -> None:
        """Nothing is touched; the file is made with the first answer."""
        self.path = path
        self.count = 0
        self.size = 0
        self.is_damaged = False
        self._digest = path.name
        self._before: tuple[int, str] | None = None

    @staticmethod
    def new_name(last_event_id: int) -> str:
        """A name for the answers since a new generation."""
        return f"answers_{last_event_id}_{secrets.token_hex(4)}.jsonl"

    @property
    def is_full(self) -> bool:
        """Whether a generation is due."""
        return self.count >= MOST or self.size >= MOST_BYTES

    def append(self, answer: Answer) -> bool:
        """Add an answer; on the disk when this returns. False if it could not be read again."""
        body = msgspec.json.encode(answer)
        try:
            msgspec.json.decode(body, type=Answer)
        except (msgspec.MsgspecError, ValueError):
            # Halves of characters, say, which other readers of JSON let pass.
            return False
        digest = _digest(self._digest, body)
        line = msgspec.json.encode(_Sealed(digest, msgspec.Raw(body))) + b"\n"
        files.append(self.path, self.size, line, "runner.answers.append", sync=True)
        if self.count == 0:
            with files.action("runner.answers.name"):
                files.sync(self.path.parent)
        self._take(digest, len(line))
        return True

    def drop_last(self) -> bytes:
        """Take the newest answer back, which was appended last, and return its line."""
        assert self._before is not None, "there is no answer, or the last one was taken back already"
        with self.path.open("rb") as file:
            file.seek(self._before[0])
            line = file.read(self.size - self._before[0])
        (self.size, self._digest), self._before = self._before, None
        self.count -= 1
        files.append(self.path, self.size, b"", "runner.answers.drop", sync=True)
        return line

    @classmethod
    def read(cls, path: Path) -> tuple[AnswerLog, list[Answer]]:
        """The answers in a file that may not be there, up to the first that is not whole."""
        answers: list[Answer] = []
        log = cls(path)
        if path.is_symlink():
            log.is_damaged = True
            return log, answers
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return log, answers
        for line in data.splitlines(keepends=True):
            try:
                sealed = msgspec.json.decode(line, type=_Sealed)
                if _digest(log._digest, bytes(sealed.body)) != sealed.sha256 or not line.endswith(b"\n"):
                    raise ValueError
                answers.append(msgspec.json.decode(sealed.body, type=Answer))
            except (msgspec.MsgspecError, ValueError):
                log.is_damaged = b"\n" in data[log.size :]
                break
            log._take(sealed.sha256, len(line))
        return log, answers

    def set_aside(self, copy: Path) -> None:
        """Keep what is damaged under another name, and cut it off."""
        if self.path.is_symlink():
            files.move(self.path, copy, "runner.answers.link")
            return
        files.write_file(copy, self.path.read_bytes(), "runner.answers.damaged")
        files.sync(copy.parent)
        files.append(self.path, self.size, b"", "runner.answers.cut", sync=True)

    def _take(self, digest: str, length: int) -> None:
        self._before = self.size, self._digest
        self._digest = digest
        self.size += length
        self.count += 1


def _digest(before: str, body: bytes) -> str:
    return hashlib.sha256(f"{before}\n".encode() + body).hexdigest()
