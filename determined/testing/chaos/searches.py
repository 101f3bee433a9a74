"""Four searches whose end follows from their seed alone, in whatever order their trials report.

A search may decide when it has heard of a whole generation, or about one trial from what that trial told; never from
who was first.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from determined import searcher
from determined.searcher import Operation

PAUSE_S = 0.03
"""Of each unit of training, so that faults find trials at work."""


class Quiet(searcher.SearchMethod):
    """What the four have in common."""

    trials = 0
    """How many there will be in the end."""

    def initial_operations(self, state: searcher.SearcherState) -> list[Operation]:
        return []

    def on_trial_created(self, state: searcher.SearcherState, request_id: uuid.UUID) -> list[Operation]:
        return []

    def on_validation_completed(
        self, state: searcher.SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[Operation]:
        return []

    def on_trial_closed(self, state: searcher.SearcherState, request_id: uuid.UUID) -> list[Operation]:
        return self.shutdown_if_over(state)

    def on_trial_exited_early(
        self, state: searcher.SearcherState, request_id: uuid.UUID, exited_reason: searcher.ExitedReason
    ) -> list[Operation]:
        return []

    def progress(self, state: searcher.SearcherState) -> float:
        return min(1.0, len(state.trials_closed) / max(1, self.trials))

    def shutdown_if_over(self, state: searcher.SearcherState) -> list[Operation]:
        """The last operation, once every trial is closed."""
        return [searcher.Shutdown()] if len(state.trials_closed) == self.trials else []

    def snapshot(self) -> dict[str, Any]:
        return dict(vars(self))

    def restore(self, saved: Any) -> None:
        vars(self).update(saved)


def name_of(number: int) -> uuid.UUID:
    """The request id of a trial, by its number."""
    return uuid.UUID(int=number + 1)


def draw(number: int) -> float:
    """The hyperparameter of a trial, by its number."""
    return round(random.Random(number).random(), 6)


def create(number: int, length: int, checkpoint: str | None = None, **more: Any) -> list[Operation]:
    """A trial and its first operation."""
    hparams = {"x": draw(number), "pause": PAUSE_S, **more}
    return [
        searcher.Create(name_of(number), hparams, checkpoint),
        searcher.ValidateAfter(name_of(number), length),
    ]


class Random(Quiet):
    """Five trials, all of whose operations are known at the start."""

    trials = 5

    def initial_operations(self, state: searcher.SearcherState) -> list[Operation]:
        return [op for n in range(self.trials) for op in (*create(n, 4), searcher.Close(name_of(n)))]


class Halving(Quiet):
    """Six trials; after each rung the better half goes on. A rung is judged when all of it has reported."""

    trials = 6
    rungs = (2, 4, 7)

    def __init__(self) -> None:
        self.results: dict[str, float] = {}
        self.rung = 0
        self.size = self.trials

    def initial_operations(self, state: searcher.SearcherState) -> list[Operation]:
        return [op for n in range(self.trials) for op in create(n, self.rungs[0])]

    def on_validation_completed(
        self, state: searcher.SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[Operation]:
        assert train_length == self.rungs[self.rung], "a result of an earlier rung came again"
        assert str(request_id) not in self.results, "a result came twice"
        self.results[str(request_id)] = float(metric)
        if len(self.results) < self.size:
            return []
        ranked = sorted(self.results, key=lambda trial: (self.results[trial], trial))
        self.results, self.rung = {}, self.rung + 1
        self.size = len(ranked) // 2 if self.rung < len(self.rungs) else 0
        going = [searcher.ValidateAfter(uuid.UUID(t), self.rungs[self.rung]) for t in ranked[: self.size]]
        return [*going, *(searcher.Close(uuid.UUID(t)) for t in ranked[self.size :])]


class Population(Quiet):
    """Three members over three generations; the worst is replaced by a child of the best one's checkpoint."""

    size, generations, length = 3, 3, 2
    trials = size + generations - 1

    def __init__(self) -> None:
        self.results: dict[str, tuple[float, str]] = {}
        self.generation = 1
        self.created = self.size

    def initial_operations(self, state: searcher.SearcherState) -> list[Operation]:
        return [op for n in range(self.size) for op in create(n, self.length, tells_checkpoint=True)]

    def on_validation_completed(
        self, state: searcher.SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[Operation]:
        assert train_length == self.generation * self.length, "a result of an earlier generation came again"
        self.results[str(request_id)] = (metric["error"], metric["checkpoint"])
        if len(self.results) < self.size:
            return []
        ranked = sorted(self.results, key=lambda trial: (self.results[trial][0], trial))
        results, self.results, self.generation = self.results, {}, self.generation + 1
        if self.generation > self.generations:
            return [searcher.Close(uuid.UUID(trial)) for trial in ranked]
        length = self.generation * self.length
        going = [searcher.ValidateAfter(uuid.UUID(trial), length) for trial in ranked[:-1]]
        child = create(self.created, length, results[ranked[0]][1], tells_checkpoint=True)
        self.created += 1
        return [*going, searcher.Close(uuid.UUID(ranked[-1])), *child]


class Troubled(Quiet):
    """Trials with hyperparameters that cannot be trained, that leave early and that fail; each gets a successor."""

    ends = ("invalid", "leave", "fail")
    trials = 2 * len(ends) + 1

    def __init__(self) -> None:
        self.created = len(self.ends) + 1
        self.gone: list[str] = []

    def initial_operations(self, state: searcher.SearcherState) -> list[Operation]:
        bad = [op for n, ends in enumerate(self.ends) for op in create(n, 3, ends=ends)]
        return [*bad, *create(len(self.ends), 3)]

    def on_validation_completed(
        self, state: searcher.SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[Operation]:
        return [searcher.Close(request_id)]

    def on_trial_exited_early(
        self, state: searcher.SearcherState, request_id: uuid.UUID, exited_reason: searcher.ExitedReason
    ) -> list[Operation]:
        assert str(request_id) not in self.gone, "a trial left twice"
        self.gone.append(str(request_id))
        # The successor's number follows from the trial that left, not from how many have left.
        return create(len(self.ends) + request_id.int, 3)


SEARCHES: Mapping[str, Callable[[], Quiet]] = {
    "random": Random,
    "halving": Halving,
    "population": Population,
    "troubled": Troubled,
}


def config(name: str) -> dict[str, Any]:
    """The experiment configuration of a search."""
    return {
        "name": f"chaos {name}",
        "entrypoint": "python3 -m determined.testing.chaos.training",
        "searcher": {"name": "custom", "metric": "validation_loss", "unit": "batches"},
        # Trials of the troubled search must not be saved by a restart; it is spared the faults that kill trials.
        "max_restarts": 0 if name == "troubled" else 50,
    }
