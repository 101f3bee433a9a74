"""What random and grid search share: a row of points, each trained once to the full length."""

from __future__ import annotations

import abc
import uuid
from collections.abc import Mapping
from typing import Any

from determined.domain.events import ExitedReason
from determined.domain.operations import Close, Create, Operation, ValidateAfter
from determined.domain.reasons import Reason
from determined.domain.search_method import SearcherState, SearchMethod
from determined.methods.draws import Draws

WHOLE = 2**40
"""Parts in a trial's full length. Whole numbers add up exactly, so that progress neither drifts nor falls."""


class PointSearch(SearchMethod):
    """Trains ``total`` points, at most ``max_concurrent`` at a time (0: no limit), each to ``length``.

    State: how many points were started, finished and replaced; how far each started trial has come at best; trials
    whose point turned out to be invalid and is to be replaced.
    Cost: O(1) per event, progress included; O(trials that have started and not ended) for a snapshot.
    """

    auto_shutdown = True
    deterministic = True

    def __init__(self, length: int, total: int, max_concurrent: int, seed: int) -> None:
        self.length = length
        self.total = total
        self.max_concurrent = max_concurrent
        self.draws = Draws(seed)
        self._request_id = self.draws.request_ids("trial")
        self.started = 0
        self.finished = 0
        self.replaced = 0
        self.parts: dict[uuid.UUID, int] = {}
        self.invalid: set[uuid.UUID] = set()
        self._sum = 0
        self._length_reason = Reason("the full length {length}", length=length)

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
        """From now on the trial has progress to count."""
        self.parts[request_id] = 0
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
        if exited_reason is ExitedReason.INVALID_HP and self.replaces_invalid():
            self._forget(request_id)
            self.invalid.add(request_id)
        return []

    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        """The next point, if there is one."""
        self._forget(request_id)
        if request_id in self.invalid:
            self.invalid.remove(request_id)
            self.replaced += 1
        else:
            self.finished += 1
        return self._start() if self.started - self.replaced < self.total else []

    def on_trial_progress(self, state: SearcherState, request_id: uuid.UUID, units: float) -> None:
        """Keep how far the trial has come at best: one that goes back to its checkpoint keeps what it had reached."""
        before = self.parts.get(request_id)
        # Written so that NaN changes nothing.
        if before is not None and units > 0:
            self.parts[request_id] = now = max(before, int(min(units / self.length, 1.0) * WHOLE))
            self._sum += now - before

    def progress(self, state: SearcherState) -> float:
        """Units trained over units planned; a finished point counts in full, one that is to be replaced not at all.

        It falls only when the work of a point turns out to be for nothing.
        """
        return (self.finished * WHOLE + self._sum) / (self.total * WHOLE)

    def summary(self) -> Mapping[str, Any]:
        """How many points were started, are done, and turned out to be invalid."""
        return {
            "started": self.started,
            "of": self.total,
            "finished": self.finished,
            "invalid": len(self.invalid) + self.replaced,
            "length": self.length,
        }

    def snapshot(self) -> Mapping[str, Any]:
        """Counts, and the trials that have started."""
        return {
            "started": self.started,
            "finished": self.finished,
            "replaced": self.replaced,
            "parts": {str(rid): reached for rid, reached in self.parts.items()},
            "invalid": sorted(str(rid) for rid in self.invalid),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take up what ``snapshot`` gave."""
        self.started, self.finished, self.replaced = saved["started"], saved["finished"], saved["replaced"]
        self.parts = {uuid.UUID(rid): reached for rid, reached in saved["parts"].items()}
        self._sum = sum(self.parts.values())
        self.invalid = {uuid.UUID(rid) for rid in saved["invalid"]}

    def _forget(self, request_id: uuid.UUID) -> None:
        self._sum -= self.parts.pop(request_id, 0)

    def _start(self) -> list[Operation]:
        index = self.started
        self.started += 1
        request_id = self._request_id(index)
        why = Reason("trial {trial} of {trials}", trial=self.started - self.replaced, trials=self.total)
        return [
            Create(request_id, self.point(index), reason=why),
            ValidateAfter(request_id, self.length, self._length_reason),
            Close(request_id, "it is trained once"),
        ]
