"""Search methods that are right pass: a small one, the built-in ones, and the examples."""

from __future__ import annotations

import functools
import random
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from determined.domain.hparams import Categorical, Double, Int, Space
from determined.domain.search_method import SearchMethod
from determined.methods.adaptive_asha import AdaptiveASHASearch
from determined.methods.async_halving import AsyncHalvingSearch
from determined.methods.grid import GridSearch
from determined.methods.hyperband import HyperbandSearch
from determined.methods.optuna import OptunaSearch
from determined.methods.pbt import PBTSearch
from determined.methods.random import RandomSearch
from determined.methods.single import SingleSearch
from determined.testing import check_search_method
from tests.unit.workshop.check.small_halving import SmallHalving

EXAMPLES = Path(__file__).parents[4] / "examples"
SPACE = Space.of({"lr": Double(0, 1, 2), "size": Int(1, 3, 2), "act": Categorical(("relu", "tanh"))})
Make = Callable[..., SearchMethod]
BUILT_IN: Mapping[str, Make] = {
    "single": functools.partial(SingleSearch, SPACE, 4),
    "random": functools.partial(RandomSearch, SPACE, max_length=4, max_trials=5, max_concurrent_trials=2),
    "random without a limit": functools.partial(RandomSearch, SPACE, 4, max_trials=5, max_concurrent_trials=0),
    "grid": functools.partial(GridSearch, SPACE, 4, max_concurrent_trials=3),
    "async_halving": functools.partial(
        AsyncHalvingSearch, SPACE, max_length=9, max_trials=6, num_rungs=3, divisor=2, max_concurrent_trials=3
    ),
    "async_halving, stop_once": functools.partial(
        AsyncHalvingSearch, SPACE, max_length=9, max_trials=6, num_rungs=3, divisor=2, stop_once=True
    ),
    "adaptive_asha": functools.partial(
        AdaptiveASHASearch, SPACE, max_length=16, max_trials=10, mode="conservative", divisor=2, max_concurrent_trials=4
    ),
    "async_halving, several rungs of one unit": functools.partial(
        AsyncHalvingSearch, SPACE, max_length=2, max_trials=6, num_rungs=3, divisor=4
    ),
    "async_halving, one unit in all": functools.partial(
        AsyncHalvingSearch, SPACE, max_length=1, max_trials=4, num_rungs=3, divisor=2
    ),
    "async_halving, equal rungs": functools.partial(
        AsyncHalvingSearch, SPACE, max_length=10, max_trials=6, num_rungs=7, divisor=1.1
    ),
    "adaptive_asha, more brackets than trials": functools.partial(
        AdaptiveASHASearch, SPACE, max_length=16, max_trials=3, bracket_rungs=(4, 3, 2, 1)
    ),
    "hyperband": functools.partial(HyperbandSearch, SPACE, max_length=9, max_trials=9, divisor=3),
    "hyperband, stop_once": functools.partial(
        HyperbandSearch, SPACE, max_length=9, max_trials=9, divisor=3, stop_once=True
    ),
    "pbt": functools.partial(PBTSearch, SPACE, max_length=6, population_size=4, num_rounds=3),
}

REPEAT_A_LENGTH = (
    "async_halving, several rungs of one unit",
    "async_halving, one unit in all",
    "async_halving, equal rungs",
)


def test_a_small_method_that_is_right_passes_everything() -> None:
    report = check_search_method(SmallHalving)
    assert report.worlds == 100
    assert report.reloads == report.events > 1000
    assert report.cost is not None
    assert report.cost[1] < 1.05 * report.cost[0]


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_method_passes(name: str) -> None:
    report = check_search_method(BUILT_IN[name])
    assert report.worlds == 100
    assert (report.cost is None) == (name in ("single", "grid"))
    repeats = ["validates again and trains nothing" in note for note in report.notes if "cost" not in note]
    assert repeats == [True] * (name in REPEAT_A_LENGTH)


@pytest.mark.parametrize("settings", [{}, {"num_brackets": 2}, {"num_brackets": 2, "stop_once": True}], ids=str)
def test_a_sampler_of_optuna_passes_but_for_the_time_that_it_takes(settings: Mapping[str, Any]) -> None:
    make = functools.partial(
        OptunaSearch,
        SPACE,
        max_length=9,
        max_trials=6,
        sampler_args={"n_startup_trials": 3},
        num_rungs=3,
        divisor=3,
        max_concurrent_trials=3,
        **settings,
    )
    report = check_search_method(make, cost=False)
    assert report.worlds == 100
    assert report.reloads == report.events


def example(monkeypatch: pytest.MonkeyPatch, path: str, name: str) -> Any:
    """A class of an example, imported as its user does, from its own folder."""
    monkeypatch.syspath_prepend((EXAMPLES / path).parent)
    module = Path(path).stem
    monkeypatch.delitem(sys.modules, module, raising=False)
    return getattr(__import__(module), name)


def sample(rng: random.Random) -> dict[str, Any]:
    return {"x": rng.random()}


def test_the_example_of_random_search_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    method = example(monkeypatch, "random_search.py", "RandomSearch")
    report = check_search_method(method, args={"trials": 4})
    assert report.worlds == 100
    assert "it draws from the generator that the module random shares" in report.notes[0]


def test_the_example_of_asha_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    method = example(monkeypatch, "asha/asha.py", "ASHASearchMethod")
    make = functools.partial(method, sample, max_length=9, max_trials=5)
    check_search_method(make)


def test_the_example_of_population_based_training_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    method = example(monkeypatch, "pbt/pbt.py", "PopulationBasedTraining")
    make = functools.partial(method, population=4, generations=2)
    check_search_method(make, metric='{"error": "METRIC", "checkpoint": "c"}')
