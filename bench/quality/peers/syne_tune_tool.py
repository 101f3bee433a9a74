"""Syne Tune's ASHA through the interface that its own tuner uses; nothing is imported where it is not installed."""

from __future__ import annotations

import datetime
import importlib
import logging
from typing import Any

from bench.quality.problems import DIVISOR, Axis, Problem

_METRIC, _LENGTH = "loss", "epoch"
_START = datetime.datetime(2000, 1, 1)


class SyneTuneTool:
    """One scheduler: ``syne-tune-asha`` or ``syne-tune-asha-stop`` of version 0.13, or the only one of 0.16."""

    def __init__(self, method: str, problem: Problem, seed: int) -> None:
        logging.disable(logging.WARNING)
        spaces = importlib.import_module("syne_tune.config_space")
        self.trial_type = importlib.import_module("syne_tune.backend.trial_status").Trial
        space = {axis.name: _range(spaces, axis) for axis in problem.axes}
        self.is_new = "0.16" in method
        self.scheduler = (_version_16 if self.is_new else _version_13)(method, space, problem, seed)
        self.max_length = problem.max_length
        self.trials: list[Any] = []

    def next(self) -> tuple[int, dict[str, Any]]:
        number = len(self.trials)
        suggestion = self.scheduler.suggest() if self.is_new else self.scheduler.suggest(number)
        if not suggestion.spawn_new_trial_id:
            return int(suggestion.checkpoint_trial_id), {}
        trial = self.trial_type(number, suggestion.config, _START)
        self.trials.append(trial)
        self.scheduler.on_trial_add(trial)
        return number, dict(suggestion.config)

    def report(self, trial: int, length: int, value: float) -> str:
        result = {_METRIC: value, _LENGTH: length}
        decision: str = self.scheduler.on_trial_result(self.trials[trial], result)
        if length == self.max_length:
            self.scheduler.on_trial_complete(self.trials[trial], result)
        elif decision == "STOP":
            self.scheduler.on_trial_remove(self.trials[trial])
        return decision


def _version_13(method: str, space: dict[str, Any], problem: Problem, seed: int) -> Any:
    schedulers = importlib.import_module("syne_tune.optimizer.schedulers")
    return schedulers.HyperbandScheduler(
        space,
        searcher="random",
        type="stopping" if method.endswith("-stop") else "promotion",
        metric=_METRIC,
        mode="min",
        resource_attr=_LENGTH,
        max_t=problem.max_length,
        grace_period=problem.rungs[0],
        reduction_factor=DIVISOR,
        random_seed=seed,
        search_options={"debug_log": False},
        points_to_evaluate=[],
    )


def _version_16(method: str, space: dict[str, Any], problem: Problem, seed: int) -> Any:
    asha = importlib.import_module("syne_tune.optimizer.schedulers.asha")
    return asha.AsynchronousSuccessiveHalving(
        space,
        metric=_METRIC,
        time_attr=_LENGTH,
        max_t=problem.max_length,
        grace_period=problem.rungs[0],
        reduction_factor=DIVISOR,
        random_seed=seed,
    )


def _range(spaces: Any, axis: Axis) -> Any:
    if axis.kind == "float":
        return spaces.uniform(0.0, 1.0)
    if axis.kind == "int":
        return spaces.randint(0, axis.size - 1)
    return spaces.choice(list(range(axis.size)))
