"""Searches from this process: ``python run_local_searcher.py``. Interrupt it and run it again: it goes on."""

import logging
from pathlib import Path

from asha import ASHASearchMethod, sample_digits

import determined as det
from determined import searcher

HERE = Path(__file__).parent

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format=det.LOG_FORMAT)

    # All files that a trial needs; they are sent to the master.
    model_context_dir = HERE / "experiment_files"
    model_config = HERE / "experiment_files" / "config.yaml"

    # What the search has learned is kept here. Remove the folder, or name another one, to start a new search.
    searcher_dir = Path("local_search_runner/searcher_dir")

    search_method = ASHASearchMethod(sample_digits, max_length=9, max_trials=18, num_rungs=3, divisor=3)
    search_runner = searcher.LocalSearchRunner(search_method, searcher_dir=searcher_dir)
    experiment_id = search_runner.run(model_config, model_dir=model_context_dir)
    logging.info(f"Experiment {experiment_id} has ended.")
