"""A search for benchmarks: every trial gets the next length as soon as it has validated.

python -m bench.climb TRIALS ROUNDS CONFIG MODEL SEARCHER_DIR
"""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import Any

from determined import searcher


class Climb(searcher.SearchMethod):
    """``trials`` trials, each through ``rounds`` operations."""

    def __init__(self, trials: int, rounds: int, hparams: dict[str, Any]) -> None:
        self.trials = trials
        self.rounds = rounds
        self.hparams = hparams

    def initial_operations(self, state: searcher.SearcherState) -> list[searcher.Operation]:
        ids = [uuid.uuid4() for _ in range(self.trials)]
        return [op for i in ids for op in (searcher.Create(i, self.hparams, None), searcher.ValidateAfter(i, 1))]

    def on_trial_created(self, state: searcher.SearcherState, request_id: uuid.UUID) -> list[searcher.Operation]:
        return []

    def on_validation_completed(
        self, state: searcher.SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[searcher.Operation]:
        if train_length >= self.rounds:
            return [searcher.Close(request_id)]
        return [searcher.ValidateAfter(request_id, train_length + 1)]

    def on_trial_closed(self, state: searcher.SearcherState, request_id: uuid.UUID) -> list[searcher.Operation]:
        return [searcher.Shutdown()] if len(state.trials_closed) == self.trials else []

    def on_trial_exited_early(
        self, state: searcher.SearcherState, request_id: uuid.UUID, exited_reason: searcher.ExitedReason
    ) -> list[searcher.Operation]:
        return []

    def progress(self, state: searcher.SearcherState) -> float:
        return len(state.trials_closed) / self.trials


if __name__ == "__main__":
    trials, rounds, config, model, folder = sys.argv[1:]
    settings = json.loads(Path(config).read_text())
    method = Climb(int(trials), int(rounds), settings["hyperparameters"])
    runner = searcher.LocalSearchRunner(method, searcher_dir=Path(folder))
    print(runner.run(settings, model_dir=model))
