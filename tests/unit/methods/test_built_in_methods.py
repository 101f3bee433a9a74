from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import yaml

from determined.domain.config import ConfigDefaults, parse_config
from determined.domain.events import ExitCause, ExitedReason
from determined.domain.hparams import Categorical, Double, Int, Space
from determined.domain.operations import Create, Shutdown
from determined.domain.search_method import SearcherState, SearchMethod
from determined.errors import InvalidConfig, InvalidInput
from determined.methods.adaptive_asha import AdaptiveASHASearch
from determined.methods.async_halving import AsyncHalvingSearch
from determined.methods.brackets import BracketSearch
from determined.methods.grid import GridSearch
from determined.methods.halving import Plan
from determined.methods.hyperband import HyperbandSearch
from determined.methods.pbt import PBTSearch
from determined.methods.random import RandomSearch
from determined.methods.registry import HOSTED, make_method
from determined.methods.single import SingleSearch
from tests.unit.methods.small_search import SmallSearch

SPACE = Space.of({"lr": Double(0, 1, 2), "size": Int(1, 3, 3), "act": Categorical(("relu", "tanh"))})
DEFAULTS = ConfigDefaults(checkpoint_storage={"type": "shared_fs", "host_path": "/c"}, name="n", seed=1)


def random_search(max_trials: int = 6, max_concurrent: int = 2) -> SearchMethod:
    return RandomSearch(SPACE, 10, max_trials, max_concurrent_trials=max_concurrent)


def grid_search(max_concurrent: int = 2) -> SearchMethod:
    return GridSearch(SPACE, 10, max_concurrent_trials=max_concurrent)


def single_search() -> SearchMethod:
    return SingleSearch(SPACE, 10)


def only(numbers: set[int], cause: ExitCause) -> Callable[[int, Mapping[str, Any]], ExitCause | None]:
    return lambda number, hparams: cause if number in numbers else None


@pytest.mark.parametrize(("method", "trials"), [(random_search, 6), (grid_search, 12), (single_search, 1)])
@pytest.mark.parametrize("reload", [False, True], ids=["in one life", "reloaded after each event"])
def test_a_search_tries_its_points_and_ends_completed(
    method: Callable[[], SearchMethod], trials: int, reload: bool
) -> None:
    search = SmallSearch(method).run(reload)
    assert len(search.hparams) == trials
    assert search.shutdown == Shutdown(reason=f"all {len(search.hparams)} trials are over")
    assert search.progress[-1] == 1.0
    assert all(a <= b for a, b in itertools.pairwise(search.progress))


@pytest.mark.parametrize(("limit", "most"), [(1, 1), (2, 2), (5, 5), (0, 6), (50, 6)])
def test_no_more_trials_than_allowed_are_open_at_once(limit: int, most: int) -> None:
    assert SmallSearch(lambda: random_search(max_concurrent=limit)).run().most == most


BUILT_IN: list[Callable[..., SearchMethod]] = [
    lambda **given: SingleSearch(SPACE, **{"max_length": 10, **given}),
    lambda **given: RandomSearch(SPACE, **{"max_length": 10, "max_trials": 4, **given}),
    lambda **given: GridSearch(SPACE, **{"max_length": 10, **given}),
    lambda **given: AdaptiveASHASearch(SPACE, **{"max_length": 10, "max_trials": 4, **given}),
    lambda **given: HyperbandSearch(SPACE, **{"max_length": 10, "max_trials": 4, **given}),
]


@pytest.mark.parametrize("make", BUILT_IN, ids=["single", "random", "grid", "adaptive_asha", "hyperband"])
def test_a_seed_is_a_whole_number_and_a_length_is_at_least_one(make: Callable[..., SearchMethod]) -> None:
    for given in ("x", 1.5, None, True):
        with pytest.raises(InvalidInput, match=f"seed must be a whole number, got {given!r}"):
            make(seed=given)
    for length in (0, "10"):
        with pytest.raises(InvalidInput, match=f"max_length must be a whole number of at least 1, got {length!r}"):
            make(max_length=length)
    state = SearcherState()
    assert make(seed=np.int64(3)).initial_operations(state) == make(seed=3).initial_operations(state)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (5, "got 5"),
        (None, "got None"),
        ("32", "got '32'"),
        ([3, 0], "got 0 in it"),
        ([2.5], r"got 2\.5 in it"),
        ([True], "got True in it"),
    ],
)
def test_the_rungs_of_brackets_are_a_list_of_whole_numbers(given: Any, told: str) -> None:
    with pytest.raises(InvalidInput, match=rf"bracket_rungs must be a list of whole numbers of at least 1, .*; {told}"):
        AdaptiveASHASearch(SPACE, 10, 4, bracket_rungs=given)


def test_a_flag_of_several_brackets_is_true_or_false() -> None:
    with pytest.raises(InvalidInput, match="stop_once must be True or False, got 'yes'"):
        AdaptiveASHASearch(SPACE, 10, 4, stop_once="yes")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="smaller_is_better must be True or False, got 'no'"):
        HyperbandSearch(SPACE, 10, 4, smaller_is_better="no")  # type: ignore[arg-type]


def test_a_grid_visits_each_point_once_from_its_end() -> None:
    search = SmallSearch(grid_search).run()
    points = [(h["act"], h["lr"], h["size"]) for h in search.hparams]
    assert points == list(reversed(list(itertools.product(("relu", "tanh"), (0.0, 1.0), (1, 2, 3)))))


def test_the_seed_decides_the_points_of_a_random_search() -> None:
    first, second = (SmallSearch(random_search).run().hparams for _ in range(2))
    assert first == second
    assert len({h["lr"] for h in first}) == 6


def test_progress_counts_the_farthest_that_each_trial_at_work_has_come() -> None:
    method, state = random_search(max_trials=2), SearcherState()
    first, second = (op.request_id for op in method.initial_operations(state) if isinstance(op, Create))
    for trial in (first, second):
        method.on_trial_created(state, trial)
    progress = []
    for units in (5.0, 2.0, float("nan"), -1.0, 7.5, 99.0):
        method.on_trial_progress(state, first, units)
        progress.append(method.progress(state))
    assert progress == [0.25, 0.25, 0.25, 0.25, 0.375, 0.5]
    method.on_trial_progress(state, second, 5.0)
    method.on_trial_exited_early(state, first, ExitedReason.INVALID_HP)
    method.on_trial_progress(state, first, 9.0)
    assert method.progress(state) == 0.25


def test_an_invalid_point_of_a_random_search_is_replaced() -> None:
    search = SmallSearch(random_search, only({0, 3}, ExitCause.INVALID_HP)).run()
    assert len(search.hparams) == 8
    assert search.shutdown == Shutdown(reason=f"all {len(search.hparams)} trials are over")
    assert search.progress[-1] == 1.0


@pytest.mark.parametrize(("method", "trials"), [(grid_search, 12), (single_search, 1)])
def test_an_invalid_point_of_other_searches_counts_as_done(method: Callable[[], SearchMethod], trials: int) -> None:
    search = SmallSearch(method, only({0}, ExitCause.INVALID_HP)).run()
    assert len(search.hparams) == trials
    assert search.shutdown == Shutdown(reason=f"all {len(search.hparams)} trials are over")


@pytest.mark.parametrize("cause", list(ExitCause))
def test_one_bad_trial_among_many_ends_completed(cause: ExitCause) -> None:
    search = SmallSearch(random_search, only({1}, cause)).run()
    assert search.shutdown == Shutdown(reason=f"all {len(search.hparams)} trials are over")


def test_a_search_whose_trials_all_failed_ends_as_failed() -> None:
    ended = SmallSearch(random_search, only(set(range(6)), ExitCause.ERRORED)).run().shutdown
    assert ended == Shutdown(failure=True, reason="every trial failed")


def test_a_search_whose_trials_were_all_killed_ends_as_cancelled() -> None:
    ended = SmallSearch(random_search, only(set(range(6)), ExitCause.KILLED)).run().shutdown
    assert ended == Shutdown(cancel=True, reason="all 6 trials are over")


@pytest.mark.parametrize(
    ("searcher", "kind"),
    [
        ({"name": "single", "max_length": 10}, SingleSearch),
        ({"name": "random", "max_length": 10, "max_trials": 3}, RandomSearch),
        ({"name": "grid", "max_length": 10}, GridSearch),
        ({"name": "async_halving", "max_length": {"batches": 10}, "max_trials": 3, "num_rungs": 2}, AsyncHalvingSearch),
        ({"name": "adaptive_asha", "max_length": 10, "max_trials": 3}, AdaptiveASHASearch),
        ({"name": "hyperband", "max_length": 10, "max_trials": 3}, HyperbandSearch),
        ({"name": "pbt", "max_length": 10, "population_size": 4, "num_rounds": 2}, PBTSearch),
    ],
)
def test_a_configuration_names_its_method(searcher: Mapping[str, Any], kind: type[SearchMethod]) -> None:
    method = make_method(configured(searcher))
    assert type(method) is kind
    assert searcher["name"] in HOSTED


def test_a_searcher_that_the_master_does_not_host_is_refused_by_name() -> None:
    with pytest.raises(InvalidConfig, match="'custom' is not a built-in method"):
        make_method(configured({"name": "custom"}))


def configured(searcher: Mapping[str, Any]) -> Any:
    source = {"entrypoint": "true", "hyperparameters": {"x": 1}, "searcher": {"metric": "loss", **searcher}}
    return parse_config(source, DEFAULTS)


@pytest.mark.parametrize(
    ("searcher", "expected"),
    [
        (
            "{name: async_halving, max_length: {epochs: 18}, max_trials: 7, num_rungs: 2, divisor: 3, "
            "max_concurrent_trials: 5, stop_once: true}",
            [Plan((6, 18), 7, 5, 3, True, False)],
        ),
        (
            "{name: adaptive_asha, max_length: 18, max_trials: 7, bracket_rungs: [1, 2], mode: aggressive, divisor: 3, "
            "max_rungs: 9, max_concurrent_trials: 3, stop_once: true}",
            # Weights 3/2 and 1 of 5/2: 4.2 and 2.8 of 7, and 1 is left.
            [Plan((6, 18), 5, 2, 3, True, False, 0), Plan((18,), 2, 1, 3, True, False, 1)],
        ),
        (
            "{name: hyperband, max_length: 18, max_trials: 7, divisor: 3, max_rungs: 2, max_concurrent_trials: 3, "
            "stop_once: true}",
            # n_s = 2/2 * 3 and 2: one each and 3 and 2 of the other 5.
            [Plan((6, 18), 4, 0, 3, True, False, 0), Plan((18,), 3, 0, 3, True, False, 1)],
        ),
    ],
)
def test_every_field_of_a_halving_search_reaches_its_method(searcher: str, expected: list[Plan]) -> None:
    method = make_method(configured({"smaller_is_better": False, **yaml.safe_load(searcher)}))
    assert isinstance(method, BracketSearch)
    assert [bracket.plan for bracket in method.brackets] == expected
    assert method.draws.seed == 1


def test_every_field_of_a_population_reaches_its_method() -> None:
    fields = {"max_length": 18, "population_size": 10, "num_rounds": 3, "truncate_fraction": 0.3}
    method = make_method(
        configured(
            {
                "name": "pbt",
                "smaller_is_better": False,
                **fields,
                "resample_probability": 0.4,
                "perturb_factor": 0.5,
            }
        )
    )
    assert isinstance(method, PBTSearch)
    assert (method.max_length, method.population_size, method.num_rounds, method.replaced) == (18, 10, 3, 3)
    assert (method.resample_probability, method.perturb_factor, method.sign, method.draws.seed) == (0.4, 0.5, -1.0, 1)
