"""One entry of an experiment's event queue, as search runners pass it around."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from determined.domain.events import InitialOperations, SearcherEvent
from determined.wire.searcher import Inactive, event_from_json, event_to_json


@dataclass(frozen=True, slots=True)
class QueuedEvent:
    """An event with its place in the queue; ``id`` is -1 for a notice that was never queued."""

    id: int
    event: SearcherEvent | Inactive

    def to_json(self) -> dict[str, Any]:
        """The event as it stands on the wire."""
        return event_to_json(self.id, self.event)

    def __str__(self) -> str:
        name = type(self.event).__name__
        if isinstance(self.event, (InitialOperations, Inactive)):
            return f"event.id={self.id} ({name})"
        return f"event.id={self.id} ({name} of trial {self.event.request_id})"


def as_queued(entry: object) -> QueuedEvent:
    """An entry in whatever form a replaced ``get_events`` delivers it.

    Accepts our own type, the JSON object, and objects of other clients that have ``to_json``.

    Raises:
        InvalidInput: it is no event.
    """
    if isinstance(entry, QueuedEvent):
        return entry
    to_json = getattr(entry, "to_json", None)
    return QueuedEvent(*event_from_json(entry if to_json is None else to_json()))
