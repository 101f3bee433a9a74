"""A search whose trials wait at a named pipe before each operation: run_gated.py MODEL_DIR SEARCHER_DIR GATE."""

import logging
import pathlib
import sys
import uuid

from determined import searcher


class Halving(searcher.SearchMethod):
    """Three trials, of which the best trains on; all decisions follow from what was heard."""

    def __init__(self, gate):
        self.gate = gate
        self.metrics = {}

    def initial_operations(self, _):
        ops = []
        for n in range(3):
            request_id = uuid.UUID(int=n + 1)
            ops.append(searcher.Create(request_id=request_id, hparams={"x": n / 4, "gate": self.gate}))
            ops.append(searcher.ValidateAfter(request_id=request_id, length=10))
        return ops

    def on_trial_created(self, _, request_id):
        return []

    def on_validation_completed(self, _, request_id, metric, train_length):
        if train_length > 10:
            return [searcher.Close(request_id=request_id)]
        self.metrics[str(request_id)] = metric
        if len(self.metrics) < 3:
            return []
        first, *rest = sorted(self.metrics, key=lambda r: (self.metrics[r], r))
        ops = [searcher.Close(request_id=uuid.UUID(r)) for r in rest]
        return [*ops, searcher.ValidateAfter(request_id=uuid.UUID(first), length=20)]

    def on_trial_closed(self, state, request_id):
        return [searcher.Shutdown()] if len(state.trials_closed) == 3 else []

    def on_trial_exited_early(self, _, request_id, exited_reason):
        return []

    def progress(self, state):
        return len(state.trials_closed) / 3

    def snapshot(self):
        return {"metrics": self.metrics}

    def restore(self, saved):
        self.metrics = saved["metrics"]


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    model = pathlib.Path(sys.argv[1])
    runner = searcher.LocalSearchRunner(Halving(sys.argv[3]), searcher_dir=pathlib.Path(sys.argv[2]))
    runner.run(str(model / "config.yaml"), model_dir=str(model))
    assert runner.state.experiment_completed, runner.state.to_dict()
