"""The handled events of a search, appended batch by batch, so that a save costs the same however many trials exist.

A searcher state is the fold of these events over a base state. What counts is the part of the file that a
generation's manifest names by length and hash; anything after it was never committed and is cut off.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from determined import files
from determined.domain import search_method as contract
from determined.domain.events import SearcherEvent
from determined.domain.search_method import SearcherState, apply_event, dispatch
from determined.errors import CorruptState, InvalidInput
from determined.searcher.event import QueuedEvent
from determined.wire.searcher import Inactive, event_from_json


class Part(msgspec.Struct, frozen=True):
    """The first ``size`` bytes of a file, and what they must hash to."""

    name: str
    size: int
    sha256: str


class EventLog:
    """An append-only file of events, one JSON object a line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._length = 0
        self._hash = hashlib.sha256()

    @property
    def length(self) -> int:
        """Bytes that have been committed."""
        return self._length

    def append(self, events: Iterable[QueuedEvent]) -> None:
        """Add events; not on the disk yet."""
        data = lines_of(events)
        if data:
            files.append(self.path, self._length, data, "runner.events.append")
            self._take(data)

    def part(self) -> Part:
        """What a manifest records of the file as it is now."""
        return Part(self.path.name, self._length, self._hash.hexdigest())

    @classmethod
    def resume(cls, folder: Path, part: Part, state: SearcherState) -> EventLog:
        """Bring a base state up to the recorded part, and go on appending after it.

        Raises:
            CorruptState: the part is not there as it was recorded.
        """
        log = cls(folder / part.name)
        data = read_part(folder, part)
        fold(state, data, part.name)
        log._take(data)
        return log

    def _take(self, data: bytes) -> None:
        self._hash.update(data)
        self._length += len(data)


def lines_of(events: Iterable[QueuedEvent]) -> bytes:
    """Events as a log holds them."""
    return b"".join(json.dumps(e.to_json(), separators=(",", ":")).encode() + b"\n" for e in events)


def fold(state: SearcherState, data: bytes, name: str) -> None:
    """Apply recorded events to a state, in order.

    Raises:
        CorruptState: a line is no event.
    """
    for event_id, event in read_events(data, name):
        apply_event(state, event)
        state.last_event_id = event_id


def read_events(data: bytes, name: str) -> Iterator[tuple[int, SearcherEvent]]:
    """Recorded events with their ids, in order.

    Raises:
        CorruptState: a line is no event.
    """
    return read_lines(data.splitlines(), name)


def read_lines(lines: Iterable[bytes], name: str) -> Iterator[tuple[int, SearcherEvent]]:
    """The same for lines that are apart already.

    Raises:
        CorruptState: a line is no event.
    """
    for number, line in enumerate(lines, start=1):
        try:
            event_id, event = event_from_json(json.loads(line))
        except (ValueError, InvalidInput, RecursionError) as e:
            raise CorruptState(f"{name}, line {number}: {e}") from e
        if not isinstance(event, Inactive):
            yield event_id, event


def hear_again(method: contract.SearchMethod, data: bytes, name: str) -> SearcherState:
    """Hand recorded events to a newly made method, as if they came now.

    Returns:
        The searcher state after them.
    Raises:
        CorruptState: a line is no event.
        Exception: whatever the method raises.
    """
    state = SearcherState()
    for event_id, event in read_events(data, name):
        dispatch(method, state, event)
        state.last_event_id = event_id
    return state


def read_part(folder: Path, part: Part) -> bytes:
    """The recorded part of a file.

    Raises:
        CorruptState: the file is missing, a link, too short, or its bytes have changed.
    """
    path = folder / part.name
    if part.size == 0:
        return b""
    if path.is_symlink():
        raise CorruptState(f"{path.name} is a link, not the file that was saved")
    try:
        with path.open("rb") as f:
            data = f.read(part.size)
    except OSError as e:
        raise CorruptState(f"{path.name} cannot be read: {e.strerror or e}") from e
    if len(data) < part.size:
        raise CorruptState(f"{path.name} has {len(data)} of {part.size} bytes")
    if hashlib.sha256(data).hexdigest() != part.sha256:
        raise CorruptState(f"{path.name} has changed since it was saved")
    return data
