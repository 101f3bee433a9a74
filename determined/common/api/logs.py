"""Log lines of trials and tasks, whole, in part, or as they are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from determined.common.api.session import Session, segment
from determined.errors import InvalidInput

LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
"""From the least to the most severe."""


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which lines of a log are wanted; by default all that are there now.

    Attributes:
        follow: go on with new lines until the source has ended.
        head, tail: only so many from the start, or from the end. At most one of these three.
        min_level: this level, as in ``LEVELS``, and those above.
        timestamp_before, timestamp_after: RFC 3339.
    """

    follow: bool = False
    head: int | None = None
    tail: int | None = None
    agent_ids: Sequence[str] | None = None
    allocation_ids: Sequence[str] | None = None
    container_ids: Sequence[str] | None = None
    rank_ids: Sequence[int] | None = None
    sources: Sequence[str] | None = None
    stdtypes: Sequence[str] | None = None
    min_level: str | None = None
    timestamp_before: str | None = None
    timestamp_after: str | None = None

    def __post_init__(self) -> None:
        if (self.head is not None) + (self.tail is not None) + self.follow > 1:
            raise InvalidInput("head, tail and follow exclude each other; give one of them")
        for name, count in (("head", self.head), ("tail", self.tail)):
            if count is not None and count < 0:
                raise InvalidInput(f"{name} is {count}; it must be 0 or more")
        if self.min_level is not None and self.min_level not in LEVELS:
            raise InvalidInput(f"the level {self.min_level!r} is unknown; use one of {', '.join(LEVELS)}")

    def params(self) -> dict[str, Any]:
        """As query parameters."""
        levels = LEVELS[LEVELS.index(self.min_level) :] if self.min_level else ()
        return {
            "agentIds": self.agent_ids,
            "allocationIds": self.allocation_ids,
            "containerIds": self.container_ids,
            "follow": self.follow or None,
            "levels": [f"LOG_LEVEL_{level}" for level in levels],
            "limit": self.head if self.head is not None else self.tail,
            "orderBy": "ORDER_BY_DESC" if self.tail is not None else None,
            "rankIds": self.rank_ids,
            "sources": self.sources,
            "stdtypes": self.stdtypes,
            "timestampBefore": self.timestamp_before,
            "timestampAfter": self.timestamp_after,
        }


def trial_logs(session: Session, trial_id: int, wanted: LogFilter) -> Iterator[dict[str, Any]]:
    """Log lines of a trial, oldest first, each as the master describes it; ``message`` is the line to show."""
    return _read(session, f"/api/v1/trials/{trial_id}/logs", wanted)


def task_logs(session: Session, task_id: str, wanted: LogFilter) -> Iterator[dict[str, Any]]:
    """The same for a task."""
    return _read(session, f"/api/v1/tasks/{segment(task_id)}/logs", wanted)


def _read(session: Session, path: str, wanted: LogFilter) -> Iterator[dict[str, Any]]:
    # The master takes a limit of 0 for no limit.
    if wanted.head == 0 or wanted.tail == 0:
        return
    found: Iterable[Any] = (line["result"] for line in session.stream(path, wanted.params()))
    yield from found if wanted.tail is None else reversed(list(found))
