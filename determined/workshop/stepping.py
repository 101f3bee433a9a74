"""Stops in the debugger where a search method is told an event, one step away from its own code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from determined.domain.events import (
    InitialOperations,
    SearcherEvent,
    TrialClosed,
    TrialCreated,
    TrialExitedEarly,
    TrialProgress,
    ValidationCompleted,
)
from determined.domain.search_method import SearchMethod

_HANDLERS: Mapping[type[SearcherEvent], str] = {
    InitialOperations: "initial_operations",
    TrialCreated: "on_trial_created",
    TrialProgress: "on_trial_progress",
    ValidationCompleted: "on_validation_completed",
    TrialExitedEarly: "on_trial_exited_early",
    TrialClosed: "on_trial_closed",
}


def handler_of(event: SearcherEvent) -> str:
    """The name of the method's handler of an event."""
    return _HANDLERS[type(event)]


def stop_in(method: SearchMethod, event: SearcherEvent) -> None:
    """Let the next call of the event's handler begin with ``breakpoint()``."""
    name = handler_of(event)
    handler = getattr(method, name)

    def stop(*arguments: Any) -> Any:
        delattr(method, name)
        breakpoint()
        return handler(*arguments)

    setattr(method, name, stop)
