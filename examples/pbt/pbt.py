"""Population-based training: bad members of a population go on from the checkpoints of good ones.

Source: Jaderberg et al., Population Based Training of Neural Networks, 2017.

Run it with ``python pbt.py``. A population of trials trains for some epochs. Then the worst quarter ends, and each of
its members is replaced by a new trial that starts from the checkpoint of one of the best quarter, with
hyperparameters that differ a little from the parent's. Everyone trains on, and so forth.

The training script completes its operations with a dictionary, ``{"error": ..., "checkpoint": ...}``: a metric may be
any JSON value, and this is how the method learns from which checkpoint a child can start.
"""

import logging
import math
import random
import uuid
from pathlib import Path
from typing import Any

import determined as det
from determined import searcher

HERE = Path(__file__).parent


class PopulationBasedTraining(searcher.SearchMethod):
    """Synchronous population-based training.

    Args:
        population: how many trials train at any time.
        generations: how often the population trains and is judged.
        length: epochs of one generation.
        seed: the same seed makes the same choices.
    """

    def __init__(self, population: int = 8, generations: int = 4, length: int = 2, seed: int = 0) -> None:
        self.population = population
        self.generations = generations
        self.length = length
        self.seed = seed
        self.created = 0
        self.generation = 1
        self.hparams: dict[str, dict[str, float]] = {}  # living members
        self.results: dict[str, tuple[float, str | None]] = {}  # of this generation: error and checkpoint

    def initial_operations(self, state: searcher.SearcherState) -> list[searcher.Operation]:
        operations: list[searcher.Operation] = []
        for _ in range(self.population):
            rng = self.rng()
            operations += self.create({"eta": 10 ** rng.uniform(-4, 0), "alpha": 10 ** rng.uniform(-6, -1)}, None)
        return operations

    def on_trial_created(self, state: searcher.SearcherState, request_id: uuid.UUID) -> list[searcher.Operation]:
        return []

    def on_validation_completed(
        self, state: searcher.SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[searcher.Operation]:
        self.results[str(request_id)] = (float(metric["error"]), metric["checkpoint"])
        return self.judge_if_complete()

    def on_trial_exited_early(
        self, state: searcher.SearcherState, request_id: uuid.UUID, exited_reason: searcher.ExitedReason
    ) -> list[searcher.Operation]:
        # A member that died is the worst of its generation, and has no checkpoint to start from.
        if str(request_id) not in self.hparams:
            return []
        self.results[str(request_id)] = (math.inf, None)
        return self.judge_if_complete()

    def on_trial_closed(self, state: searcher.SearcherState, request_id: uuid.UUID) -> list[searcher.Operation]:
        done = self.generation > self.generations and len(state.trials_closed) == self.created
        return [searcher.Shutdown()] if done else []

    def progress(self, state: searcher.SearcherState) -> float:
        done = (self.generation - 1 + len(self.results) / self.population) / self.generations
        return min(done, 1.0)

    def judge_if_complete(self) -> list[searcher.Operation]:
        """Start the next generation once every member has a result."""
        if len(self.results) < self.population:
            return []
        ranked = sorted(self.results, key=lambda member: self.results[member][0])
        results, self.results = self.results, {}
        self.generation += 1
        if self.generation > self.generations:
            return [searcher.Close(uuid.UUID(member)) for member in ranked if results[member][1] is not None]
        replaced = max(1, self.population // 4)
        parents = [m for m in ranked[:replaced] if results[m][1] is not None] or ranked[:1]
        losers = [m for m in ranked if m in ranked[-replaced:] or results[m][1] is None]
        known = dict(self.hparams)
        operations: list[searcher.Operation] = [
            searcher.ValidateAfter(uuid.UUID(member), self.generation * self.length)
            for member in ranked
            if member not in losers
        ]
        for loser in losers:
            rng = self.rng()
            parent = rng.choice(parents)
            if results[loser][1] is not None:
                # The others have ended by themselves.
                operations.append(searcher.Close(uuid.UUID(loser), reason="among the worst of its generation"))
            operations += self.create(self.perturbed(known[parent], rng), results[parent][1])
            del self.hparams[loser]
        return operations

    def create(self, hparams: dict[str, float], checkpoint: str | None) -> list[searcher.Operation]:
        """A new member, from a checkpoint or from nothing; it trains to the end of the present generation."""
        request_id = uuid.UUID(int=self.rng().getrandbits(128), version=4)
        self.created += 1
        self.hparams[str(request_id)] = hparams
        return [
            searcher.Create(request_id, hparams, checkpoint),
            searcher.ValidateAfter(request_id, self.generation * self.length),
        ]

    def perturbed(self, hparams: dict[str, float], rng: random.Random) -> dict[str, float]:
        return {name: value * rng.choice([0.5, 0.8, 1.25, 2.0]) for name, value in hparams.items()}

    def rng(self) -> random.Random:
        return random.Random(f"{self.seed}/{self.created}")

    # JSON-able values instead of files: the shorter way to keep a method's state.

    def snapshot(self) -> dict[str, Any]:
        return {
            "created": self.created,
            "generation": self.generation,
            "hparams": self.hparams,
            "results": self.results,
        }

    def restore(self, saved: Any) -> None:
        vars(self).update(saved)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format=det.LOG_FORMAT)
    files = HERE / "experiment_files"
    runner = searcher.LocalSearchRunner(PopulationBasedTraining(), Path("local_search_runner/pbt"))
    runner.run(files / "config.yaml", model_dir=files)
