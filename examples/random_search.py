"""Random search in thirty lines: ``python random_search.py``."""

import random
import uuid
from pathlib import Path

from determined import searcher


class RandomSearch(searcher.SearchMethod):
    """Trains ``trials`` random points for ``length`` epochs each."""

    def __init__(self, trials=8, length=3):
        self.trials, self.length = trials, length

    def initial_operations(self, state):
        operations = []
        for _ in range(self.trials):
            trial = uuid.uuid4()
            hparams = {
                "learning_rate": 10 ** random.uniform(-4, -1),
                "alpha": 10 ** random.uniform(-6, -1),
                "hidden_size": random.choice([16, 32, 64]),
                "batch_size": 32,
            }
            operations += [
                searcher.Create(trial, hparams),
                searcher.ValidateAfter(trial, self.length),
                searcher.Close(trial),
            ]
        return operations

    def on_trial_created(self, state, request_id):
        return []

    def on_validation_completed(self, state, request_id, metric, train_length):
        return []

    def on_trial_closed(self, state, request_id):
        return [searcher.Shutdown()] if len(state.trials_closed) == self.trials else []

    def on_trial_exited_early(self, state, request_id, exited_reason):
        return []

    def progress(self, state):
        return len(state.trials_closed) / self.trials


if __name__ == "__main__":
    files = Path(__file__).parent / "asha" / "experiment_files"
    runner = searcher.LocalSearchRunner(RandomSearch(), searcher_dir="local_search_runner/random")
    runner.run(files / "config.yaml", model_dir=files)
