"""A method in which chance decides now and then, where no saved state and no variable of a module tells of it."""

from __future__ import annotations

import random
import uuid
from typing import Any

from determined.searcher import Operation, SearcherState
from tests.unit.workshop.check.small_halving import SmallHalving


class Dice:
    """Chance that nobody sets back, as a clock or the operating system's numbers; a test begins it at a known place."""

    def __init__(self) -> None:
        self.rng = random.Random(0)

    def begin(self, seed: int) -> None:
        self.rng.seed(seed)

    def fall(self, probability: float) -> bool:
        return self.rng.random() < probability


DICE = Dice()


class RarelyCloses(SmallHalving):
    """Closes a trial without a reason, once in a while."""

    def __init__(self, max_trials: int = 3, probability: float = 0.02) -> None:
        super().__init__(max_trials)
        self.probability = probability

    def is_good(self, rung: int, loss: float) -> bool:
        return super().is_good(rung, loss) and not DICE.fall(self.probability)


class RarelyRaises(SmallHalving):
    def on_validation_completed(
        self, state: SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[Operation]:
        if DICE.fall(0.01):
            raise RuntimeError("out of luck")
        return super().on_validation_completed(state, request_id, metric, train_length)
