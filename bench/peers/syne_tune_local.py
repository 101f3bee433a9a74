"""Trials of Syne Tune's LocalBackend, two at a time; prints trials, reports, and the seconds that they took, as JSON.

Runs in the virtual environment of the peers, as ``python syne_tune_local.py noop|asha TRIALS``. ``noop``: import
scikit-learn, report one metric, end. ``asha``: 81 units that do nothing, a report after each, under ASHA by stopping.
Each trial is a process that runs ``syne_tune_trial.py``.

The seconds are from the first trial that was started to the last that was seen to be over. The tuner looks at its
trials every 0.01 seconds (5 by default); at shorter intervals it only takes the processor from them. It writes neither
results nor a copy of itself.
"""

import contextlib
import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend import LocalBackend
from syne_tune.config_space import uniform
from syne_tune.optimizer.baselines import ASHA, RandomSearch
from syne_tune.tuner_callback import TunerCallback

WORKERS, MAX_LENGTH, DIVISOR = 2, 81, 3
LOOKS_EVERY_S = 0.01


class Clock(TunerCallback):  # type: ignore[misc]  # without types
    """When the first trial started, when the last one was over, and how many reports there were."""

    first = last = 0.0
    trials = reports = 0

    def on_start_trial(self, trial: Any) -> None:
        self.trials += 1
        self.first = self.first or time.perf_counter()

    def on_trial_result(self, *args: Any, **kwargs: Any) -> None:
        self.reports += 1
        self.last = time.perf_counter()  # a trial may be stopped here, which nothing else tells

    def on_trial_complete(self, *args: Any, **kwargs: Any) -> None:
        self.last = time.perf_counter()


def main() -> None:
    work, trials = sys.argv[1], int(sys.argv[2])
    logging.disable(logging.CRITICAL)
    space = {"x": uniform(0, 1), "length": MAX_LENGTH if work == "asha" else 0}
    if work == "asha":
        scheduler = ASHA(
            config_space=space,
            metric="loss",
            time_attr="epoch",
            max_t=MAX_LENGTH,
            grace_period=1,
            reduction_factor=DIVISOR,
            random_seed=0,
        )
    else:
        scheduler = RandomSearch(space, metrics=["loss"], random_seed=0)
    clock = Clock()
    tuner = Tuner(
        trial_backend=LocalBackend(entry_point=str(Path(__file__).with_name("syne_tune_trial.py"))),
        scheduler=scheduler,
        # It goes on while there are not more than so many.
        stop_criterion=StoppingCriterion(max_num_trials_started=trials - 1),
        wait_trial_completion_when_stopping=True,
        n_workers=WORKERS,
        sleep_time=LOOKS_EVERY_S,
        results_update_interval=1e9,
        print_update_interval=1e9,
        save_tuner=False,
        callbacks=[clock],
    )
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        tuner.run()
    if tuner.tuning_status.num_trials_failed:
        raise RuntimeError(f"{tuner.tuning_status.num_trials_failed} trials failed")
    print(json.dumps({"trials": clock.trials, "reports": clock.reports, "seconds": clock.last - clock.first}))


main()
