"""Searches from a trial of its own: ``det e create searcher_config.yaml .``"""

import logging

from asha import ASHASearchMethod, sample_digits

import determined as det
from determined import searcher

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format=det.LOG_FORMAT)

    # Relative to the working directory, which holds what `det e create` was given.
    model_context_dir = "experiment_files"
    model_config = "experiment_files/config.yaml"

    with det.core.init() as core_context:
        search_method = ASHASearchMethod(sample_digits, max_length=9, max_trials=18, num_rungs=3, divisor=3)
        search_runner = searcher.RemoteSearchRunner(search_method, context=core_context)
        search_runner.run(model_config, model_dir=model_context_dir)
