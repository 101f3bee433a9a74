"""A small search method that is right, for copies of it with one fault each: successive halving that stops trials."""

from __future__ import annotations

import bisect
import math
import random
import uuid
from collections.abc import Mapping
from typing import Any

from determined import searcher
from determined.searcher import ExitedReason, Operation, SearcherState

LENGTHS = (1, 2)


class SmallHalving(searcher.SearchMethod):
    """A trial that is in the better half of its rung trains on; any other one is closed."""

    def __init__(self, max_trials: int = 3, concurrent: int = 2) -> None:
        self.max_trials = max_trials
        self.concurrent = concurrent
        self.rng = random.Random(7)
        self.created = 0
        self.invalid = 0
        self.over = 0
        self.rungs: list[list[float]] = [[] for _ in LENGTHS]
        self.training: dict[str, int] = {}

    def initial_operations(self, state: SearcherState) -> list[Operation]:
        return [op for _ in range(min(self.concurrent, self.max_trials)) for op in self.create()]

    def on_trial_created(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        return []

    def on_validation_completed(
        self, state: SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[Operation]:
        rung = self.training[str(request_id)]
        if self.is_good(rung, self.loss(metric)) and rung + 1 < len(LENGTHS):
            return self.promote(request_id, rung + 1)
        return self.close(request_id)

    def on_trial_exited_early(
        self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason
    ) -> list[Operation]:
        self.training.pop(str(request_id), None)
        self.invalid += exited_reason is ExitedReason.INVALID_HP
        return []

    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        self.over += 1
        if self.created - self.invalid < self.max_trials:
            return self.create()
        return [searcher.Shutdown()] if self.over == self.created else []

    def progress(self, state: SearcherState) -> float:
        return max(self.over - self.invalid, 0) / self.max_trials

    def loss(self, metric: float) -> float:
        return math.inf if math.isnan(metric) else metric

    def is_good(self, rung: int, loss: float) -> bool:
        place = bisect.bisect_left(self.rungs[rung], loss)
        self.rungs[rung].insert(place, loss)
        return place < max(len(self.rungs[rung]) // 2, 1)

    def create(self) -> list[Operation]:
        request_id = self.request_id()
        self.created += 1
        self.training[str(request_id)] = 0
        return [
            searcher.Create(request_id, {"x": self.rng.random()}),
            searcher.ValidateAfter(request_id, LENGTHS[0]),
        ]

    def request_id(self) -> uuid.UUID:
        return uuid.UUID(int=self.created + 1)

    def promote(self, request_id: uuid.UUID, rung: int) -> list[Operation]:
        self.training[str(request_id)] = rung
        return [searcher.ValidateAfter(request_id, LENGTHS[rung])]

    def close(self, request_id: uuid.UUID) -> list[Operation]:
        del self.training[str(request_id)]
        return [searcher.Close(request_id)]

    def snapshot(self) -> dict[str, Any]:
        saved = {name: getattr(self, name) for name in ("created", "invalid", "over", "rungs", "training")}
        return {**saved, "rng": self.rng.getstate()}

    def restore(self, saved: Mapping[str, Any]) -> None:
        version, numbers, gauss = saved["rng"]
        self.rng.setstate((version, tuple(numbers), gauss))
        for name in saved.keys() - {"rng"}:
            setattr(self, name, saved[name])
