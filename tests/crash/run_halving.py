"""Runs the search of the crash tests from this process: ``python -m tests.crash.run_halving SEARCHER_DIR``."""

import logging
import sys
from pathlib import Path

from determined import searcher
from tests.crash.zygote import CONFIG, MODEL, Halving

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    runner = searcher.LocalSearchRunner(Halving(), Path(sys.argv[1]))
    runner.run(CONFIG, model_dir=MODEL)
    sys.exit(0 if runner.state.experiment_completed else 3)
