"""Hosting a built-in method: it is driven like any other, and ended when all of its trials are over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from determined.domain.events import ExitCause, SearcherEvent, TrialClosed, TrialExitedEarly
from determined.domain.operations import Create, Operation, Shutdown
from determined.domain.search_method import SearcherState, SearchMethod, apply_event, dispatch


class Hosted:
    """A method, its state, and the rule that shuts the search down.

    The search ends when every trial that was asked for is closed: as failed if all of them failed, as cancelled if all
    were killed, and as completed otherwise.
    """

    def __init__(self, method: SearchMethod) -> None:
        self.method = method
        self.state = SearcherState()
        self.requested = 0
        self.closed = 0
        self.failed = 0
        self.killed = 0

    def handle(self, event_id: int, event: SearcherEvent) -> list[Operation]:
        """The method's answer to an event, with the shutdown where it is due."""
        operations = dispatch(self.method, self.state, event)
        self.state.last_event_id = event_id
        self.requested += sum(isinstance(op, Create) for op in operations)
        if isinstance(event, TrialExitedEarly):
            self.failed += event.cause is ExitCause.ERRORED
            self.killed += event.cause is ExitCause.KILLED
        elif isinstance(event, TrialClosed):
            self.closed += 1
            if self.closed == self.requested:
                failure = self.failed >= self.requested
                operations.append(
                    Shutdown(
                        cancel=self.killed >= self.requested,
                        failure=failure,
                        reason="every trial failed" if failure else None,
                    )
                )
        return operations

    def observe(self, event_id: int, event: SearcherEvent) -> None:
        """Bring the state up to date with an event that was answered before the snapshot was taken."""
        apply_event(self.state, event)
        self.state.last_event_id = event_id

    def snapshot(self) -> dict[str, Any]:
        """Counts and the method's own state; the searcher state is the fold of the recorded events."""
        return {
            "last_event": self.state.last_event_id,
            "requested": self.requested,
            "closed": self.closed,
            "failed": self.failed,
            "killed": self.killed,
            "method": self.method.snapshot(),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take up what ``snapshot`` gave; ``observe`` the events up to ``last_event`` as well."""
        self.requested, self.closed = saved["requested"], saved["closed"]
        self.failed, self.killed = saved["failed"], saved["killed"]
        if saved["method"] is not None:
            self.method.restore(saved["method"])
