"""Hosting a built-in method: it is driven like any other, and ended when all of its trials are over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from determined.domain.events import ExitCause, SearcherEvent, TrialClosed, TrialExitedEarly
from determined.domain.operations import Operation
from determined.domain.search_method import SearcherState, SearchMethod, apply_event, dispatch
from determined.methods.ending import EndRule


class Hosted:
    """A method, its state, and the rule that shuts the search down.

    Unlike ``Ending`` it hears who stopped a trial, so one that stopped by itself does not count as cancelled.

    Attributes:
        save_at: the event after which whoever drives this wants to save it; not looked at here.
    """

    def __init__(self, method: SearchMethod) -> None:
        self.method = method
        self.state = SearcherState()
        self.rule = EndRule()
        self.save_at = 0

    def handle(self, event_id: int, event: SearcherEvent) -> list[Operation]:
        """The method's answer to an event, with the shutdown where it is due."""
        operations = dispatch(self.method, self.state, event)
        self.state.last_event_id = event_id
        self.rule.asked(operations)
        if isinstance(event, TrialExitedEarly):
            self.rule.exited(failed=event.cause is ExitCause.ERRORED, killed=event.cause is ExitCause.KILLED)
        elif isinstance(event, TrialClosed):
            end = self.rule.after_closing()
            if end is not None:
                operations.append(end)
        return operations

    def observe(self, event_id: int, event: SearcherEvent) -> None:
        """Bring the state up to date with an event that was answered before the snapshot was taken."""
        apply_event(self.state, event)
        self.state.last_event_id = event_id

    def snapshot(self) -> dict[str, Any]:
        """Counts and the method's own state; the searcher state is the fold of the recorded events."""
        return {
            "last_event": self.state.last_event_id,
            **msgspec.to_builtins(self.rule),
            "method": self.method.snapshot(),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take up what ``snapshot`` gave; ``observe`` the events up to ``last_event`` as well."""
        self.rule = msgspec.convert({name: saved[name] for name in EndRule.__struct_fields__}, EndRule)
        if saved["method"] is not None:
            self.method.restore(saved["method"])
