"""Search methods for replays: one, and others that differ from it in a line."""

from __future__ import annotations

import uuid
from typing import Any

from determined.domain.events import ExitedReason
from determined.domain.operations import Close, Create, Operation, Shutdown, ValidateAfter
from determined.domain.reasons import Reason
from determined.domain.search_method import SearcherState, SearchMethod


class Halves(SearchMethod):
    """Four trials; whoever beats the best so far trains on, to twice the length."""

    limit = 40
    trials = 4

    def __init__(self, step: float = 0.25) -> None:
        self.step = step
        self.best: dict[int, float] = {}

    def initial_operations(self, state: SearcherState) -> list[Operation]:
        operations: list[Operation] = []
        for number in range(1, self.trials + 1):
            rid = uuid.UUID(int=number)
            operations += [Create(rid, {"x": 1 - number * self.step}), ValidateAfter(rid, 10, "to begin with")]
        return operations

    def on_trial_created(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        return []

    def is_better(self, metric: float, best: float) -> bool:
        return metric < best

    def on_validation_completed(
        self, state: SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[Operation]:
        best = self.best.setdefault(train_length, metric)
        if train_length < self.limit and (best is metric or self.is_better(metric, best)):
            self.best[train_length] = metric
            reason = Reason("{metric} is not worse than {best}", metric=metric, best=best)
            return [ValidateAfter(request_id, 2 * train_length, reason)]
        return [Close(request_id, Reason("{metric} is worse than {best}", metric=metric, best=best))]

    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        return [Shutdown(reason="all are closed")] if len(state.trials_closed) == self.trials else []

    def on_trial_exited_early(
        self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason
    ) -> list[Operation]:
        return []

    def progress(self, state: SearcherState) -> float:
        return len(state.trials_closed) / self.trials


class Flipped(Halves):
    """The other direction."""

    def is_better(self, metric: float, best: float) -> bool:
        return metric > best


class Hurried(Halves):
    """Only its progress is another."""

    def progress(self, state: SearcherState) -> float:
        return len(state.trials_closed) / self.trials + 0.01


class Wordy(Halves):
    """Only its reasons are others."""

    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        over = super().on_trial_closed(state, request_id)
        return [Shutdown(reason="everybody has gone home")] if over else []


class Fails(Halves):
    """Raises at the first early end or the second close."""

    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        if len(state.trials_closed) == 2:
            raise ZeroDivisionError("two are too many")
        return super().on_trial_closed(state, request_id)


class HandsOn(Halves):
    """Leaves most of its arguments to its base."""

    def __init__(self, size: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.size = size


def make(config: Any = None) -> SearchMethod:
    return Halves()


NOTHING = 7


def nothing() -> object:
    return NOTHING
