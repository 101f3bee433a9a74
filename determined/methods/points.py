"""What random and grid search share: a row of points, each trained once to the full length."""

from __future__ import annotations

import abc
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from determined.domain.events import ExitedReason
from determined.domain.hparams import Rng
from determined.domain.operations import Close, Create, Operation, ValidateAfter
from determined.domain.search_method import SearchMethod, SearcherState

Draw = Callable[[str], Rng]
"""Gives a generator for a label; the same label gives the same draws, so that no generator state is kept."""


class PointSearch(SearchMethod):
    """Trains ``total`` points, at most ``max_concurrent`` at a time (0: no limit), each to ``length``.

    State: number of points started, ids of open trials, number of finished and of invalid points.
    Cost: O(1) per event, but O(open trials) for progress.
    """

    def __init__(self, length: int, total: int, max_concurrent: int, draw: Draw) -> None:
        self.length = length
        self.total = total
        self.max_concurrent = max_concurrent
        self.draw = draw
        self.started = 0
        self.finished = 0
        self.replaced = 0
        self.open: dict[uuid.UUID, bool] = {}
        """Open trials in order of creation; True once the trial has said that its point is invalid."""

    @abc.abstractmethod
    def point(self, index: int) -> Mapping[str, Any]:
        """Hyperparameters of the point of this index, the same at each call."""

    @abc.abstractmethod
    def replaces_invalid(self) -> bool:
        """Whether a point that cannot be trained is made up for by another."""

    def initial_operations(self, state: SearcherState) -> list[Operation]:
        """The first points."""
        first = min(self.total, self.max_concurrent) if self.max_concurrent else self.total
        return [op for _ in range(first) for op in self._start()]

    def on_trial_created(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        """Nothing to do."""
        return []

    def on_validation_completed(
        self, state: SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[Operation]:
        """Nothing to do: the trial was closed when it was made."""
        return []

    def on_trial_exited_early(
        self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason
    ) -> list[Operation]:
        """Remember an invalid point until the trial closes."""
        if exited_reason is ExitedReason.INVALID_HP and request_id in self.open:
            self.open[request_id] = True
        return []

    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        """The next point, if there is one."""
        invalid = self.open.pop(request_id, False)
        if invalid and self.replaces_invalid():
            self.replaced += 1
        else:
            self.finished += 1
        return self._start() if self.started - self.replaced < self.total else []

    def progress(self, state: SearcherState) -> float:
        """Units trained over units planned; a finished point counts in full."""
        going = sum(
            min(state.trial_progress.get(rid, 0.0), self.length) for rid, invalid in self.open.items() if not invalid
        )
        return (self.finished * self.length + going) / (self.length * self.total)

    def snapshot(self) -> Mapping[str, Any]:
        """Counts and open trials."""
        return {
            "started": self.started,
            "finished": self.finished,
            "replaced": self.replaced,
            "open": {str(rid): invalid for rid, invalid in self.open.items()},
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take up the saved counts and open trials."""
        self.started, self.finished, self.replaced = saved["started"], saved["finished"], saved["replaced"]
        self.open = {uuid.UUID(rid): invalid for rid, invalid in saved["open"].items()}

    def _start(self) -> list[Operation]:
        index = self.started
        self.started += 1
        request_id = uuid.UUID(int=self.draw(f"trial {index}").randrange(2**128), version=4)
        self.open[request_id] = False
        return [Create(request_id, self.point(index)), ValidateAfter(request_id, self.length), Close(request_id)]
