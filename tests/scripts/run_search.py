"""Run a search with the LocalSearchRunner that is installed: run_search.py METHOD MODEL_DIR SEARCHER_DIR."""

import logging
import pathlib
import sys

from search_methods import Climb, Faults, Late, RandomSearch, SmallAsha

from determined import searcher

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    methods = {"random": RandomSearch, "asha": SmallAsha, "climb": Climb, "late": Late, "faults": Faults}
    method = methods[sys.argv[1]]()
    model = pathlib.Path(sys.argv[2])
    runner = searcher.LocalSearchRunner(method, searcher_dir=pathlib.Path(sys.argv[3]))
    experiment_id = runner.run(str(model / "config.yaml"), model_dir=str(model))
    assert runner.state.experiment_completed, runner.state.to_dict()
    print(f"experiment={experiment_id} last_event={runner.state.last_event_id}")
    print(f"created={len(runner.state.trials_created)} closed={len(runner.state.trials_closed)}")
