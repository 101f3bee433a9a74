"""Searches with several trials at work, in many orders and with every kind of end: what holds for all methods."""

from __future__ import annotations

import itertools
import math
import random
import sys
import uuid
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

import pytest

from determined.domain.events import ExitCause, TrialCreated, TrialProgress, ValidationCompleted
from determined.domain.hparams import Categorical, Double, Int, Space
from determined.domain.operations import Close, Create, Operation, Shutdown, ValidateAfter
from determined.domain.reasons import numbers_of
from determined.domain.search_method import SearcherState, SearchMethod, dispatch
from determined.methods.adaptive_asha import AdaptiveASHASearch
from determined.methods.async_halving import AsyncHalvingSearch
from determined.methods.grid import GridSearch
from determined.methods.hyperband import HyperbandSearch
from determined.methods.optuna import OptunaSearch
from determined.methods.pbt import PBTSearch
from determined.methods.random import RandomSearch
from tests.unit.methods.busy_search import BusySearch, Exit

SPACE = Space.of({"lr": Double(0, 1, 3), "size": Int(1, 9, 3), "act": Categorical(("relu", "tanh"))})
Make = Callable[[], SearchMethod]
METHODS: Mapping[str, Make] = {
    "random": lambda: RandomSearch(SPACE, 10, 12, max_concurrent_trials=3),
    "grid": lambda: GridSearch(SPACE, 10, max_concurrent_trials=3),
    "async_halving": lambda: AsyncHalvingSearch(SPACE, 16, 20, 3, divisor=2, max_concurrent_trials=4),
    "async_halving with fractions": lambda: AsyncHalvingSearch(SPACE, 16, 20, 4, divisor=1.5, max_concurrent_trials=4),
    "async_halving that stops": lambda: AsyncHalvingSearch(SPACE, 16, 20, 3, divisor=3, stop_once=True),
    "adaptive_asha": lambda: AdaptiveASHASearch(SPACE, 27, 24, divisor=3, smaller_is_better=False),
    "adaptive_asha that stops": lambda: AdaptiveASHASearch(SPACE, 27, 24, divisor=3, stop_once=True),
    "adaptive_asha for all": lambda: AdaptiveASHASearch(SPACE, 9, 15, mode="conservative", divisor=2),
    "hyperband": lambda: HyperbandSearch(SPACE, 27, 30, divisor=3, max_concurrent_trials=5),
    "hyperband that stops": lambda: HyperbandSearch(SPACE, 27, 30, divisor=3, max_concurrent_trials=5, stop_once=True),
    "optuna in brackets": lambda: OptunaSearch(
        SPACE, 27, 20, num_rungs=3, num_brackets=3, divisor=3, sampler_args={"n_startup_trials": 5}
    ),
    "pbt": lambda: PBTSearch(SPACE, 12, 6, 4, truncate_fraction=0.34),
}


def noisy(number: int, hparams: Mapping[str, Any], length: int) -> float:
    drawn = random.Random(f"{number} {length}").random()
    return math.nan if drawn < 0.05 else hparams["lr"] + drawn / length


def ends(seed: int, causes: tuple[ExitCause, ...], share: float = 0.15) -> Exit:
    def end(number: int, length: int) -> ExitCause | None:
        rng = random.Random(f"{seed} {number} {length}")
        return rng.choice(causes) if rng.random() < share else None

    return end


ALL = tuple(ExitCause)
VALID = tuple(cause for cause in ExitCause if cause is not ExitCause.INVALID_HP)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("seed", range(25))
def test_every_search_comes_to_its_end(name: str, seed: int) -> None:
    search = BusySearch(METHODS[name], noisy, ends(seed, ALL), seed, idle_exits=0.1).run(5_000)
    assert all(0.0 <= value <= 1.0 for value in search.progress)
    assert search.progress[-1] == 1.0 or name == "pbt"
    again = BusySearch(METHODS[name], noisy, ends(seed, ALL), seed, idle_exits=0.1).run(5_000)
    assert again.told == search.told


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("seed", range(10))
def test_progress_never_falls_while_no_point_is_invalid(name: str, seed: int) -> None:
    progress = (
        BusySearch(METHODS[name], noisy, ends(seed, VALID), seed, idle_exits=0.1, idle_causes=VALID).run().progress
    )
    assert all(a <= b for a, b in itertools.pairwise(progress))
    assert progress[-1] == 1.0


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("seed", range(6))
def test_a_method_that_is_saved_and_loaded_after_each_event_goes_on_identically(name: str, seed: int) -> None:
    plain = BusySearch(METHODS[name], noisy, ends(seed, ALL), seed, idle_exits=0.1).run()
    reloaded = BusySearch(METHODS[name], noisy, ends(seed, ALL), seed, reloading=True, idle_exits=0.1).run()
    assert reloaded.told == plain.told
    assert reloaded.progress == plain.progress


@pytest.mark.parametrize("name", METHODS)
def test_every_decision_has_a_reason_with_its_numbers(name: str) -> None:
    search = BusySearch(METHODS[name], noisy, ends(3, ALL), 3).run()
    decisions = [op for op in search.answers() if isinstance(op, (Create, ValidateAfter, Close, Shutdown))]
    assert all(op.reason for op in decisions)
    assert len([op for op in decisions if numbers_of(op.reason)]) > len(decisions) / 2
    for op in decisions:
        told = {name: number for name, number in numbers_of(op.reason).items() if name in ("rank", "of", "trial")}
        assert all(str(number) in str(op.reason) for number in told.values())


@pytest.mark.parametrize("name", [n for n in METHODS if n not in ("grid", "pbt")])
@pytest.mark.parametrize("seed", range(5))
def test_exactly_as_many_valid_points_are_tried_as_were_asked_for(name: str, seed: int) -> None:
    search = BusySearch(METHODS[name], noisy, ends(seed, ALL), seed).run()
    method = search.inner
    planned = method.total if name == "random" else sum(b.plan.max_trials for b in method.brackets)
    assert search.created() - search.invalid == planned


class Work:
    """Counts calls of functions, those written in C included; it does not disturb a coverage tool, as tracing would."""

    calls = 0

    def count(self, frame: FrameType, event: str, arg: object) -> None:
        self.calls += event in ("call", "c_call")


def work_per_event(make: Make, length: int) -> float:
    """Calls per event when most of the trials have brought results, for every kind of event that is frequent."""
    method, state, work = make(), SearcherState(), Work()
    open_ones: list[uuid.UUID] = []

    def apply(operations: list[Operation]) -> None:
        open_ones.extend(op.request_id for op in operations if isinstance(op, ValidateAfter))

    apply(method.initial_operations(state))
    rng, steps = random.Random(1), int(0.9 * length)
    before = sys.getprofile()
    for step in range(steps):
        if step == steps - 300:
            sys.setprofile(work.count)
        rid = open_ones.pop()
        apply(dispatch(method, state, TrialCreated(rid)))
        dispatch(method, state, TrialProgress(rid, 1.0))
        apply(dispatch(method, state, ValidationCompleted(rid, rng.random(), 1)))
    sys.setprofile(before)
    return work.calls / 300


@pytest.mark.parametrize("stop_once", [False, True])
def test_the_work_of_an_event_does_not_grow_with_the_number_of_trials(stop_once: bool) -> None:
    few, many = (
        work_per_event(
            lambda: AsyncHalvingSearch(SPACE, 81, trials, 5, divisor=3, stop_once=stop_once),  # noqa: B023  # called at once
            trials,
        )
        for trials in (1_000, 16_000)
    )
    assert many < 1.1 * few


def test_the_work_of_a_progress_report_does_not_grow_with_the_trials_at_work() -> None:
    def calls(trials: int) -> int:
        method, state, work = RandomSearch(SPACE, 10, trials, max_concurrent_trials=0), SearcherState(), Work()
        ids = [op.request_id for op in method.initial_operations(state) if isinstance(op, Create)]
        for rid in ids:
            dispatch(method, state, TrialCreated(rid))
        before = sys.getprofile()
        sys.setprofile(work.count)
        dispatch(method, state, TrialProgress(ids[0], 5.0))
        sys.setprofile(before)
        return work.calls

    assert calls(10) == calls(500)
