"""When a search is over although nobody said so: every trial that it created has ended."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from determined.domain.events import ExitedReason
from determined.domain.operations import Create, Operation, Shutdown
from determined.domain.reasons import Reason
from determined.domain.search_method import SearcherState, SearchMethod


class EndRule(msgspec.Struct):
    """Counts trials, and says when and how the search ends.

    It ends as soon as no trial that was asked for is left: as failed if all of them failed, as cancelled if all were
    stopped by somebody, and as completed otherwise.
    """

    requested: int = 0
    closed: int = 0
    failed: int = 0
    killed: int = 0

    def asked(self, operations: Iterable[Operation]) -> None:
        """Count the trials that an answer asks for."""
        for op in operations:
            if type(op) is Create:
                self.requested += 1

    def exited(self, *, failed: bool, killed: bool) -> None:
        """Count a trial that ended early."""
        self.failed += failed
        self.killed += killed

    def after_closing(self) -> Shutdown | None:
        """Count a trial that is over; the end of the search if it was the last one."""
        self.closed += 1
        if self.closed != self.requested:
            return None
        failure = self.failed >= self.requested
        reason = "every trial failed" if failure else Reason("all {trials} trials are over", trials=self.requested)
        return Shutdown(cancel=self.killed >= self.requested, failure=failure, reason=reason)


class Ending(SearchMethod):
    """A method with ``auto_shutdown``, and the shutdown that it leaves to others.

    Attributes:
        method: what decides everything but the end.
    """

    def __init__(self, method: SearchMethod) -> None:
        self.method = method
        self.deterministic = method.deterministic
        self.rule = EndRule()

    def initial_operations(self, state: SearcherState) -> list[Operation]:
        """The method's answer."""
        return self._asked(self.method.initial_operations(state))

    def on_trial_created(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        """The method's answer."""
        return self._asked(self.method.on_trial_created(state, request_id))

    def on_validation_completed(
        self, state: SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[Operation]:
        """The method's answer."""
        return self._asked(self.method.on_validation_completed(state, request_id, metric, train_length))

    def on_trial_exited_early(
        self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason
    ) -> list[Operation]:
        """The method's answer."""
        self.rule.exited(
            failed=exited_reason is ExitedReason.ERRORED, killed=exited_reason is ExitedReason.USER_CANCELED
        )
        return self._asked(self.method.on_trial_exited_early(state, request_id, exited_reason))

    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        """The method's answer, and the end of the search where it is due."""
        operations = self._asked(self.method.on_trial_closed(state, request_id))
        end = self.rule.after_closing()
        return operations if end is None else [*operations, end]

    def on_trial_progress(self, state: SearcherState, request_id: uuid.UUID, units: float) -> None:
        """The method takes note of it."""
        self.method.on_trial_progress(state, request_id, units)

    def progress(self, state: SearcherState) -> float:
        """The method's."""
        return self.method.progress(state)

    def summary(self) -> Mapping[str, Any] | None:
        """The method's."""
        return self.method.summary()

    def snapshot(self) -> Mapping[str, Any]:
        """The counts, and the method's own state."""
        return {"rule": msgspec.to_builtins(self.rule), "method": self.method.snapshot()}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take up what ``snapshot`` gave."""
        self.rule = msgspec.convert(saved["rule"], EndRule)
        if saved["method"] is not None:
            self.method.restore(saved["method"])

    def _asked(self, operations: list[Operation]) -> list[Operation]:
        self.rule.asked(operations)
        return operations


def ending(method: SearchMethod) -> SearchMethod:
    """The method itself, or with the shutdown that it leaves to whoever runs it."""
    return Ending(method) if method.auto_shutdown and not isinstance(method, Ending) else method
