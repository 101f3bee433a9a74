"""Synchronous successive halving, as a search method to compare with: a rung is decided when all of it is in.

Source: Jamieson and Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization, AISTATS 2016;
run in parallel as in Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020, section 3.1: when no
bracket has work for a free worker, another bracket is begun.
"""

from __future__ import annotations

import math
import uuid
from collections import deque
from typing import Any

from determined.domain.hparams import Space, sample
from determined.methods.draws import Draws
from determined.searcher import Close, Create, ExitedReason, Operation, SearcherState, SearchMethod, ValidateAfter


class Bracket:
    """One run of successive halving: who is still in it, and what the present rung has said so far."""

    def __init__(self, first: list[uuid.UUID]) -> None:
        self.rung = 0
        self.queued = deque(first)
        self.missing = len(first)
        self.results: list[tuple[float, uuid.UUID]] = []


class SynchronousHalving(SearchMethod):
    """Brackets of ``width`` trials, each halved by ``divisor`` until one trial has trained to ``max_length``.

    Args:
        workers: how many trials train at once.
    """

    deterministic = True

    def __init__(
        self, space: Space, max_length: int, width: int, *, divisor: int = 4, workers: int = 25, seed: int = 0
    ) -> None:
        self.space = space
        self.rungs = round(math.log(max_length, divisor)) + 1
        self.lengths = [max_length // divisor ** (self.rungs - 1 - rung) for rung in range(self.rungs)]
        self.width = width
        self.divisor = divisor
        self.workers = workers
        self.draws = Draws(seed)
        self._request_id = self.draws.request_ids("trial")
        self.brackets: list[Bracket] = []
        self.owner: dict[uuid.UUID, Bracket] = {}
        self.made = 0
        self.busy = 0

    def initial_operations(self, state: SearcherState) -> list[Operation]:
        return self._fill()

    def on_trial_created(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        return []

    def on_validation_completed(
        self, state: SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[Operation]:
        return self._result(request_id, float(metric)) + self._fill()

    def on_trial_exited_early(
        self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason
    ) -> list[Operation]:
        return self._result(request_id, math.inf) + self._fill()

    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        return []

    def progress(self, state: SearcherState) -> float:
        return 0.0

    def _result(self, request_id: uuid.UUID, loss: float) -> list[Operation]:
        self.busy -= 1
        bracket = self.owner[request_id]
        bracket.results.append((loss, request_id))
        if len(bracket.results) < bracket.missing:
            return []
        ranked = [trial for _, trial in sorted(bracket.results)]
        bracket.rung += 1
        going_on = ranked[: len(ranked) // self.divisor] if bracket.rung < self.rungs else []
        bracket.queued.extend(going_on)
        bracket.missing, bracket.results = len(going_on), []
        if not going_on:
            self.brackets.remove(bracket)
        over = ranked[len(going_on) :]
        for trial in over:
            del self.owner[trial]
        return [Close(trial) for trial in over]

    def _fill(self) -> list[Operation]:
        operations: list[Operation] = []
        while self.busy < self.workers:
            bracket = next((b for b in self.brackets if b.queued), None) or self._begin()
            trial = bracket.queued.popleft()
            if bracket.rung == 0:
                operations.append(Create(trial, sample(self.space, self.draws(f"point {trial}"))))
            operations.append(ValidateAfter(trial, self.lengths[bracket.rung]))
            self.busy += 1
        return operations

    def _begin(self) -> Bracket:
        first = [self._request_id(self.made + n) for n in range(self.width)]
        self.made += self.width
        bracket = Bracket(first)
        self.brackets.append(bracket)
        self.owner.update(dict.fromkeys(first, bracket))
        return bracket
