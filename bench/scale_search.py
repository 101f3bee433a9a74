"""The search of ``bench.scale``: ``python -m bench.scale_search TRIALS AT_ONCE FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.support import MODEL, config
from determined import searcher

if __name__ == "__main__":
    trials, at_once, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    space = {"x": searcher.uniform(0, 1), "y": searcher.loguniform(1e-4, 1e-1)}
    method = searcher.RandomSearch(space, 1, trials, max_concurrent_trials=at_once)
    runner = searcher.LocalSearchRunner(method, searcher_dir=folder)
    runner.run({**config("first_line.py", {"name": "custom"}), "max_restarts": 5}, model_dir=MODEL)
    sys.exit(0 if runner.state.experiment_completed else 1)
