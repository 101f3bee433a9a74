"""Our methods on a problem, run by our simulator."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.quality.incumbents import Report, Trace
from bench.quality.problems import DIVISOR, Axis, Problem
from determined.domain.events import SearcherEvent, ValidationCompleted
from determined.domain.operations import Operation
from determined.domain.search_method import SearchMethod
from determined.domain.space import choice, randint, uniform
from determined.methods.adaptive_asha import AdaptiveASHASearch
from determined.methods.async_halving import AsyncHalvingSearch
from determined.methods.hyperband import HyperbandSearch
from determined.methods.optuna import OptunaSearch
from determined.methods.random import RandomSearch
from determined.simulator.model import Limits, TrialModel
from determined.simulator.run import simulate

MANY = 10_000
"""More trials than any budget here allows."""
ADAPTIVE_TRIALS = 300
"""Adaptive ASHA divides its trials in advance; so many train a little longer than the largest budget."""

STOPS_AT_EACH_RUNG = ("asha", "asha-stop", "tpe+asha", "tpe+asha-stop")
"""Methods whose trials never pass a rung without the method hearing of it."""

Maker = Callable[[Mapping[str, Any], Problem, dict[str, Any]], SearchMethod]


def _halving(space: Mapping[str, Any], problem: Problem, common: dict[str, Any], stop_once: bool) -> SearchMethod:
    rungs = len(problem.rungs)
    return AsyncHalvingSearch(space, problem.max_length, MANY, rungs, divisor=DIVISOR, stop_once=stop_once, **common)


def _adaptive(space: Mapping[str, Any], problem: Problem, common: dict[str, Any]) -> SearchMethod:
    rungs = len(problem.rungs)
    return AdaptiveASHASearch(space, problem.max_length, ADAPTIVE_TRIALS, divisor=DIVISOR, max_rungs=rungs, **common)


def _hyperband(space: Mapping[str, Any], problem: Problem, common: dict[str, Any], stop_once: bool) -> SearchMethod:
    rungs = len(problem.rungs)
    return HyperbandSearch(
        space, problem.max_length, MANY, divisor=DIVISOR, max_rungs=rungs, stop_once=stop_once, **common
    )


def _tpe(
    space: Mapping[str, Any],
    problem: Problem,
    common: dict[str, Any],
    rungs: int,
    brackets: int,
    stop_once: bool | None,
) -> SearchMethod:
    return OptunaSearch(
        space,
        problem.max_length,
        MANY,
        num_rungs=rungs,
        num_brackets=brackets,
        divisor=DIVISOR,
        stop_once=stop_once,
        **common,
    )


MAKERS: Mapping[str, Maker] = {
    "random": lambda space, problem, common: RandomSearch(space, problem.max_length, MANY, **common),
    "asha": lambda space, problem, common: _halving(space, problem, common, False),
    "asha-stop": lambda space, problem, common: _halving(space, problem, common, True),
    "adaptive-asha": _adaptive,
    "hyperband": lambda space, problem, common: _hyperband(space, problem, common, False),
    "hyperband-stop": lambda space, problem, common: _hyperband(space, problem, common, True),
    "tpe": lambda space, problem, common: _tpe(space, problem, common, 1, 1, False),
    # Rungs as they come: the places decide about brackets and stopping.
    "tpe+rungs": lambda space, problem, common: _tpe(space, problem, common, len(problem.rungs), 0, None),
    "tpe+asha": lambda space, problem, common: _tpe(space, problem, common, len(problem.rungs), 1, False),
    "tpe+asha-stop": lambda space, problem, common: _tpe(space, problem, common, len(problem.rungs), 1, True),
    "tpe+hyperband": lambda space, problem, common: _tpe(
        space, problem, common, len(problem.rungs), len(problem.rungs), False
    ),
    "tpe+hyperband-stop": lambda space, problem, common: _tpe(
        space, problem, common, len(problem.rungs), len(problem.rungs), True
    ),
}


def run(method: str, problem: Problem, workers: int, seed: int, until: float) -> Trace:
    """Search until a time on the virtual clock, on which a unit of training takes 1."""
    space = {axis.name: _range(axis) for axis in problem.axes}
    watch = _Watch(problem, seed)
    result = simulate(
        MAKERS[method](space, problem, {"max_concurrent_trials": workers, "seed": seed}),
        curve=lambda hparams, length: problem.observe(hparams, int(length), seed),
        workers=workers,
        seed=seed,
        # What is under way at the end has reported at the shorter lengths on its way.
        limits=Limits(max_time=until + (0 if method in STOPS_AT_EACH_RUNG else problem.max_length)),
        trials=TrialModel(report_every=None),
        on_event=watch,
        keep_decisions=False,
    )
    points = [dict(trial.hparams) for trial in result.trials]
    numbers = {trial.request_id: number for number, trial in enumerate(result.trials)}
    return Trace(watch.reports(points, numbers, until), points)


class _Watch:
    """Hears what trials report, and adds what they would have reported at the shorter lengths on their way."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem = problem
        self.seed = seed
        self.seen: list[tuple[float, uuid.UUID, int, float]] = []

    def __call__(self, time: float, event: SearcherEvent, operations: Sequence[Operation]) -> None:
        if isinstance(event, ValidationCompleted):
            self.seen.append((time, event.request_id, event.length, event.metric))

    def reports(
        self, points: Sequence[Mapping[str, Any]], numbers: Mapping[uuid.UUID, int], until: float
    ) -> list[Report]:
        reached: dict[uuid.UUID, int] = {}
        reports = []
        for time, request_id, length, value in self.seen:
            number = numbers[request_id]
            for rung in self.problem.rungs:
                if reached.get(request_id, 0) < rung < length:
                    passed = self.problem.observe(points[number], rung, self.seed)
                    reports.append(Report(time - (length - rung), number, rung, passed))
            reached[request_id] = length
            reports.append(Report(time, number, length, value))
        return sorted((r for r in reports if r.time <= until + 1e-6), key=lambda r: r.time)


def _range(axis: Axis) -> Any:
    if axis.kind == "float":
        return uniform(0.0, 1.0)
    if axis.kind == "int":
        return randint(0, axis.size - 1)
    return choice(list(range(axis.size)))
