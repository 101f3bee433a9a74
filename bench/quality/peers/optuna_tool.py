"""Optuna's TPE by ask and tell, with one of its pruners or none."""

from __future__ import annotations

import warnings
from typing import Any

import optuna

from bench.quality.peers.workers import CONTINUE, STOP
from bench.quality.problems import DIVISOR, Axis, Problem


class OptunaTool:
    """One study.

    Args:
        method: ``optuna-tpe``, the same with ``+halving`` or ``+hyperband``, or with ``-default`` for a sampler that is
            not told of running trials; Optuna recommends telling it when several run at a time.
    """

    def __init__(self, method: str, problem: Problem, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        self.axes = problem.axes
        self.max_length = problem.max_length
        self.is_pruned = "+" in method
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=not method.endswith("-default"))
        self.study = optuna.create_study(sampler=sampler, pruner=_pruner(method, problem), study_name=f"quality {seed}")
        self.trials: list[optuna.Trial] = []

    def next(self) -> tuple[int, dict[str, Any]]:
        trial = self.study.ask()
        self.trials.append(trial)
        return trial.number, {axis.name: _suggest(trial, axis) for axis in self.axes}

    def report(self, trial: int, length: int, value: float) -> str:
        asked = self.trials[trial]
        if length == self.max_length:
            self.study.tell(asked, value)
            return STOP
        if not self.is_pruned:
            return CONTINUE
        asked.report(value, length)
        if asked.should_prune():
            self.study.tell(asked, state=optuna.trial.TrialState.PRUNED)
            return STOP
        return CONTINUE


def _pruner(method: str, problem: Problem) -> optuna.pruners.BasePruner:
    shortest = problem.rungs[0]
    if method.endswith("+halving"):
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=shortest, reduction_factor=DIVISOR)
    if method.endswith("+hyperband"):
        return optuna.pruners.HyperbandPruner(
            min_resource=shortest, max_resource=problem.max_length, reduction_factor=DIVISOR
        )
    return optuna.pruners.NopPruner()


def _suggest(trial: optuna.Trial, axis: Axis) -> Any:
    if axis.kind == "float":
        return trial.suggest_float(axis.name, 0.0, 1.0)
    if axis.kind == "int":
        return trial.suggest_int(axis.name, 0, axis.size - 1)
    return trial.suggest_categorical(axis.name, tuple(range(axis.size)))
