"""Trials of Ray Tune, each with one of two CPUs; prints trials, reports, and the seconds that they took, as JSON.

Runs in the virtual environment of the peers, as ``python ray_tune.py noop|asha TRIALS actors|reused [ADDRESS]``: on a
cluster of its own, or on one that is there, which ought to have two CPUs. ``noop``: import
scikit-learn, report one metric, end. ``asha``: 81 units that do nothing, a report after each, under ASHA. ``actors``: a
function as its users write it, in an actor of its own for each trial, which is the default. ``reused``: a class that
can be reset, in actors that go from trial to trial, and so do not keep trials apart.

The seconds are from the first actor that has started to the last trial that is over: Ray's own start is not in them.
No checkpoints are taken, and no files written for each trial.
"""

import json
import os
import sys
import tempfile
import time
from typing import Any

os.environ.update(
    RAY_USAGE_STATS_ENABLED="0",
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
    # Otherwise its workers give way to whatever else runs, which trials of the other tools do not.
    RAY_worker_niceness="0",
)

# After the environment is set, which it reads.
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler

WORKERS, MAX_LENGTH, DIVISOR = 2, 81, 3


def noop(config: dict[str, Any]) -> None:
    import sklearn  # noqa: F401

    tune.report({"loss": config["x"]})


def climb(config: dict[str, Any]) -> None:
    for length in range(1, MAX_LENGTH + 1):
        tune.report({"loss": config["x"] + 1 / length})


class Noop(tune.Trainable):  # type: ignore[misc]  # without types
    """A trial of one unit."""

    LENGTH = 1

    def setup(self, config: dict[str, Any]) -> None:
        import sklearn  # noqa: F401

        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.x, self.length = new_config["x"], 0
        return True

    def step(self) -> dict[str, Any]:
        self.length += 1
        return {"loss": self.x + 1 / self.length, "done": self.length >= self.LENGTH}


class Climb(Noop):
    """A trial of as many units as the scheduler lets it have."""

    LENGTH = MAX_LENGTH

    def setup(self, config: dict[str, Any]) -> None:
        self.reset_config(config)


class Clock(tune.Callback):  # type: ignore[misc]  # without types
    """When the first trial started, and the last one was over."""

    first = last = 0.0

    def on_trial_start(self, *args: Any, **kwargs: Any) -> None:
        self.first = self.first or time.perf_counter()

    def on_trial_complete(self, *args: Any, **kwargs: Any) -> None:
        self.last = time.perf_counter()


def search(work: str, trials: int, reused: bool, folder: str) -> dict[str, float]:
    """Run the trials."""
    clock = Clock()
    trainable = {("noop", False): noop, ("noop", True): Noop, ("asha", False): climb, ("asha", True): Climb}
    scheduler = ASHAScheduler(max_t=MAX_LENGTH, grace_period=1, reduction_factor=DIVISOR) if work == "asha" else None
    results = tune.Tuner(
        tune.with_resources(trainable[work, reused], {"cpu": 1}),
        param_space={"x": tune.uniform(0, 1)},
        tune_config=tune.TuneConfig(
            num_samples=trials, metric="loss", mode="min", reuse_actors=reused, scheduler=scheduler
        ),
        run_config=tune.RunConfig(
            storage_path=folder,
            name="bench",
            verbose=0,
            callbacks=[clock],
            # A class would take one at the end of each trial.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False) if reused else None,
        ),
    ).fit()
    if len(results) != trials or results.errors:
        raise RuntimeError(f"{len(results)} of {trials} trials ended; errors: {results.errors[:1]}")
    reports = sum(result.metrics["training_iteration"] for result in results)
    return {"trials": trials, "reports": reports, "seconds": clock.last - clock.first}


def main() -> None:
    work, trials, actors, *address = sys.argv[1:]
    # Its sockets are below this folder, and the path of a socket has little room.
    with tempfile.TemporaryDirectory(prefix="r-", dir="/tmp") as folder:
        where = {"address": address[0]} if address else {"num_cpus": WORKERS, "_temp_dir": folder}
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR", **where)
        try:
            found = search(work, int(trials), actors == "reused", f"{folder}/results")
        finally:
            ray.shutdown()
    print(json.dumps(found))


main()
