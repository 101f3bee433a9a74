"""Run a search with a RemoteSearchRunner, inside a trial whose folder holds ``model``."""

import logging

from search_methods import SmallAsha

import determined as det
from determined import searcher

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format=det.LOG_FORMAT)
    with det.core.init() as context:
        runner = searcher.RemoteSearchRunner(SmallAsha(), context=context)
        runner.run("model/config.yaml", model_dir="model")
