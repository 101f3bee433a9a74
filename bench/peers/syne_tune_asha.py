"""Syne Tune's simulator with its ASHA on a table made on the spot; prints seconds and reports as JSON.

Runs in the environment of the peers, as ``python syne_tune_asha.py TRIALS MAX_LENGTH DIVISOR SEED WORKERS AS_USED``.
What is done is what its example ``launch_simulated_benchmark.py`` does, or, with 0 for AS_USED, as little as it can be
told to do: no results on the disk, no reports on the way, no copy of the tuner.
"""

import json
import logging
import sys
import time
from typing import Any

import numpy as np
import pandas as pd
from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend.simulator_backend.simulator_callback import SimulatorCallback
from syne_tune.blackbox_repository.blackbox_tabular import BlackboxTabular
from syne_tune.blackbox_repository.simulated_tabular_backend import UserBlackboxBackend
from syne_tune.config_space import randint
from syne_tune.optimizer.baselines import ASHA

UNIT_S = 20.0
"""Virtual seconds of a unit of training; the tuner looks at its backend every 5 of them, its default."""
TALL = 10


def main() -> None:
    trials, max_length, divisor, seed, workers, as_used = map(int, sys.argv[1:])
    logging.disable(logging.CRITICAL)
    blackbox = table(trials, max_length)
    space = {**blackbox.configuration_space, "epochs": max_length}
    tuner = Tuner(
        trial_backend=UserBlackboxBackend(blackbox, "elapsed", max_resource_attr="epochs"),
        scheduler=ASHA(
            config_space=space,
            metric="loss",
            time_attr="epoch",
            max_t=max_length,
            grace_period=1,
            reduction_factor=divisor,
            random_seed=seed,
        ),
        stop_criterion=StoppingCriterion(max_num_trials_started=trials),
        n_workers=workers,
        sleep_time=0,
        results_update_interval=600 if as_used else 1e9,
        print_update_interval=600 if as_used else 1e9,
        save_tuner=bool(as_used),
        callbacks=[Counted() if as_used else Unsaved()],
    )
    started = time.process_time()
    tuner.run()
    took = time.process_time() - started
    print(json.dumps({"seconds": took, "reports": tuner.callbacks[0].reports}))


class Counted(SimulatorCallback):  # type: ignore[misc]  # without types
    """Advances the virtual clock, collects the results, and counts them."""

    reports = 0

    def on_trial_result(self, *args: Any, **kwargs: Any) -> None:
        self.reports += 1
        super().on_trial_result(*args, **kwargs)


class Unsaved(Counted):
    """Does not write the results to the disk at the end."""

    def on_tuning_end(self) -> None:
        pass


def table(trials: int, max_length: int) -> Any:
    """A full grid of two hyperparameters; the loss of a row falls like 1 / length to a limit of its own."""
    wide = trials // TALL
    rows = pd.DataFrame([(x, y) for x in range(wide) for y in range(TALL)], columns=["x", "y"])
    lengths = np.arange(1, max_length + 1)
    loss = np.random.default_rng(0).random((len(rows), 1)) + 1 / lengths
    elapsed = np.broadcast_to(lengths * UNIT_S, loss.shape)
    return BlackboxTabular(
        hyperparameters=rows,
        configuration_space={"x": randint(0, wide - 1), "y": randint(0, TALL - 1)},
        fidelity_space={"epoch": randint(1, max_length)},
        objectives_evaluations=np.stack([loss, elapsed], axis=-1)[:, None],
        objectives_names=["loss", "elapsed"],
    )


main()
