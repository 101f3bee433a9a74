"""ASHA as a user's search method: many trials start, and only the best train on.

Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020, Algorithm 2.

A trial climbs a ladder of rungs. Rung 0 is a short training; each further rung is ``divisor`` times as long. Whenever
a place is free, the method promotes the best trial that is among the top ``1 / divisor`` of its rung and was not
promoted before; if there is none, it starts a new trial. So nobody ever waits for a rung to fill up.
"""

import bisect
import json
import math
import random
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from determined import searcher

Sample = Callable[[random.Random], dict[str, Any]]


class ASHASearchMethod(searcher.SearchMethod):
    """Asynchronous successive halving with promotion.

    Args:
        sample: draws the hyperparameters of one trial from a generator of random numbers.
        max_length: how long the longest trials train, in the unit of the experiment.
        max_trials: how many trials to start in all.
        num_rungs: steps of the ladder, >= 1.
        divisor: one trial in so many is promoted, >= 2; ``eta`` in the paper.
        max_concurrent_trials: how many trials train at the same time.
        smaller_is_better: direction of the metric.
        seed: the same seed draws the same trials.
    """

    def __init__(
        self,
        sample: Sample,
        max_length: int,
        max_trials: int,
        num_rungs: int = 3,
        divisor: int = 3,
        max_concurrent_trials: int = 4,
        smaller_is_better: bool = True,
        seed: int = 0,
    ) -> None:
        if max_length < divisor ** (num_rungs - 1):
            raise ValueError(f"{num_rungs} rungs need a max_length of at least {divisor ** (num_rungs - 1)}")
        self.sample = sample
        self.max_trials = max_trials
        self.max_concurrent_trials = max_concurrent_trials
        self.divisor = divisor
        self.sign = 1.0 if smaller_is_better else -1.0
        self.seed = seed
        # Lengths are absolute: a trial that is promoted to a rung trains until it has trained this much in all.
        self.lengths = [max_length // divisor ** (num_rungs - 1 - rung) for rung in range(num_rungs)]

        # From here on: everything that changes, and is therefore saved.
        self.created = 0
        self.invalid = 0
        self.results: list[list[list[Any]]] = [[] for _ in range(num_rungs)]  # by rung: [loss, trial], best first
        self.waiting: list[list[list[Any]]] = [[] for _ in range(num_rungs)]  # those of them that were not promoted
        self.training: dict[str, int] = {}  # trials at work -> the rung they train for
        self.open: dict[str, None] = {}  # trials that have not been closed, oldest first

    # What the master tells us, and what we answer.

    def initial_operations(self, state: searcher.SearcherState) -> list[searcher.Operation]:
        return self.fill_places()

    def on_trial_created(self, state: searcher.SearcherState, request_id: uuid.UUID) -> list[searcher.Operation]:
        return []

    def on_validation_completed(
        self, state: searcher.SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[searcher.Operation]:
        loss = self.sign * float(metric)
        return self.take_result(str(request_id), math.inf if math.isnan(loss) else loss)

    def on_trial_exited_early(
        self, state: searcher.SearcherState, request_id: uuid.UUID, exited_reason: searcher.ExitedReason
    ) -> list[searcher.Operation]:
        trial = str(request_id)
        self.open.pop(trial, None)
        if exited_reason is searcher.ExitedReason.INVALID_HP:
            # Such a point tells nothing about the others: forget it, and start another one in its place.
            self.invalid += 1
            self.training.pop(trial, None)
            for results in [*self.results, *self.waiting]:
                results[:] = [result for result in results if result[1] != trial]
            return self.fill_places()
        return self.take_result(trial, math.inf) if trial in self.training else []

    def on_trial_closed(self, state: searcher.SearcherState, request_id: uuid.UUID) -> list[searcher.Operation]:
        return [searcher.Shutdown()] if len(state.trials_closed) == self.created and self.is_done() else []

    def progress(self, state: searcher.SearcherState) -> float:
        return min(len(self.results[0]) / self.max_trials, 1.0 if self.is_done() else 0.99)

    # The algorithm.

    def take_result(self, trial: str, loss: float) -> list[searcher.Operation]:
        """A trial has finished a rung; its place is free."""
        rung = self.training.pop(trial)
        bisect.insort(self.results[rung], [loss, trial])
        operations: list[searcher.Operation] = []
        if rung == len(self.lengths) - 1 and trial in self.open:
            del self.open[trial]
            operations.append(searcher.Close(uuid.UUID(trial), reason="finished the top rung"))
        elif trial in self.open:
            bisect.insort(self.waiting[rung], [loss, trial])
        return operations + self.fill_places()

    def fill_places(self) -> list[searcher.Operation]:
        """Give work to every free place; at the end close what is left."""
        operations: list[searcher.Operation] = []
        while len(self.training) < self.max_concurrent_trials and (more := self.promote() or self.create()):
            operations += more
        if self.is_done():
            operations += [searcher.Close(uuid.UUID(trial), reason="not promoted") for trial in self.open]
            self.open = {}
        return operations

    def promote(self) -> list[searcher.Operation]:
        """Send the best trial that deserves it one rung up, looking at the highest rungs first."""
        for rung in reversed(range(len(self.lengths) - 1)):
            results, waiting = self.results[rung], self.waiting[rung]
            while waiting and waiting[0][1] not in self.open:
                del waiting[0]
            if not waiting:
                continue
            trial, place = waiting[0][1], bisect.bisect_left(results, waiting[0]) + 1
            if place <= len(results) // self.divisor:
                del waiting[0]
                self.training[trial] = rung + 1
                reason = f"place {place} of {len(results)} in rung {rung}"
                return [searcher.ValidateAfter(uuid.UUID(trial), self.lengths[rung + 1], reason)]
        return []

    def create(self) -> list[searcher.Operation]:
        """Start a new trial at the bottom, if there are any left to start."""
        if self.created - self.invalid >= self.max_trials:
            return []
        # A generator of its own for each trial: nothing about random numbers has to be saved.
        rng = random.Random(f"{self.seed}/{self.created}")
        request_id = uuid.UUID(int=rng.getrandbits(128), version=4)
        self.created += 1
        self.training[str(request_id)] = 0
        self.open[str(request_id)] = None
        return [
            searcher.Create(request_id, self.sample(rng)),
            searcher.ValidateAfter(request_id, self.lengths[0]),
        ]

    def is_done(self) -> bool:
        """Whether every trial has been started, and none trains."""
        return self.created - self.invalid >= self.max_trials and not self.training

    # State, so that the search survives whatever happens to this process.

    def save_method_state(self, path: Path) -> None:
        names = ("created", "invalid", "results", "waiting", "training", "open")
        (path / "asha.json").write_text(json.dumps({name: getattr(self, name) for name in names}))

    def load_method_state(self, path: Path) -> None:
        for name, value in json.loads((path / "asha.json").read_text()).items():
            setattr(self, name, value)


def sample_digits(rng: random.Random) -> dict[str, Any]:
    """One point of the space that the example searches."""
    return {
        "learning_rate": 10 ** rng.uniform(-4, -1),
        "alpha": 10 ** rng.uniform(-6, -1),
        "hidden_size": rng.choice([8, 16, 32, 64, 128]),
        "batch_size": rng.choice([16, 32, 64, 128]),
    }
