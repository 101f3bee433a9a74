"""The cost of an event: what grows is found, what does not is left in peace, and what was not measured says why."""

from __future__ import annotations

import functools
import importlib
import math
import random
import statistics
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sortedcontainers import SortedList

from determined.domain.hparams import Categorical, Double, Int, Space
from determined.domain.search_method import SearchMethod
from determined.methods.adaptive_asha import AdaptiveASHASearch
from determined.methods.async_halving import AsyncHalvingSearch
from determined.methods.grid import GridSearch
from determined.methods.hyperband import HyperbandSearch
from determined.methods.pbt import PBTSearch
from determined.methods.random import RandomSearch
from determined.methods.single import SingleSearch
from determined.searcher import Operation, SearcherState
from determined.testing import CheckFailed
from determined.workshop.check import Kind, check_cost, check_search_method
from determined.workshop.check import cost as costs
from determined.workshop.check.play import Subject, temporary_folder
from tests.unit.workshop.check.small_halving import SmallHalving

Sized = Callable[[int], SearchMethod]


def measured(sized: Sized) -> costs.Measured:
    with temporary_folder() as folder:
        return costs.measure(sized, Subject(functools.partial(sized, 4)), folder)


def random_space(rng: random.Random) -> Space:
    kinds = (Double(0, 1, 2), Double(-3, 3, 2), Int(1, 30, 2), Categorical(("relu", "tanh", "gelu")))
    return Space.of({f"x{number}": rng.choice(kinds) for number in range(rng.randint(1, 5))})


def random_method(name: str, rng: random.Random) -> Sized:
    """A built-in method with arguments that nobody has picked."""
    space, length, concurrent = random_space(rng), rng.choice((9, 16, 64, 81)), rng.choice((0, 1, 2, 4, 6, 8, 16))
    divisor, seed = rng.choice((2, 3, 4)), rng.randrange(1000)
    few: dict[str, Any] = {"max_concurrent_trials": concurrent, "seed": seed}
    if name == "random":
        return lambda trials: RandomSearch(space, length, trials, **few)
    if name == "pbt":
        rounds = rng.randint(2, 4)
        return lambda trials: PBTSearch(space, length, trials, rounds, seed=seed)
    if name == "hyperband":
        return lambda trials: HyperbandSearch(space, length, trials, divisor=divisor, **few)
    few |= {"divisor": divisor, "stop_once": rng.random() < 0.3}
    if name == "async_halving":
        rungs = rng.randint(1, 5)
        return lambda trials: AsyncHalvingSearch(space, length, trials, rungs, **few)
    mode = rng.choice(("aggressive", "standard", "conservative"))
    return lambda trials: AdaptiveASHASearch(space, length, trials, mode=mode, **few)


@pytest.mark.parametrize("name", ["random", "pbt", "hyperband", "async_halving", "adaptive_asha"])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_cost_of_built_in_methods_does_not_grow(name: str, seed: int) -> None:
    found = measured(random_method(name, random.Random(f"{name} {seed}")))
    assert found.finding is None, str(found.finding)
    assert found.notes == ()


def test_more_events_that_create_trials_are_no_growth() -> None:
    """A mean over all events told these two apart from nothing: the larger the search, the more often it answers."""
    space = Space.of({name: Double(0, 1) for name in "abcd"})
    halving = functools.partial(AsyncHalvingSearch, space, 64, num_rungs=4, divisor=4, max_concurrent_trials=8)
    hyperband = functools.partial(HyperbandSearch, space, 81, divisor=3, max_concurrent_trials=6)
    assert measured(lambda trials: halving(max_trials=trials)).finding is None
    assert measured(lambda trials: hyperband(max_trials=trials)).finding is None


class Keeps(SmallHalving):
    """Remembers every loss."""

    def __init__(self, max_trials: int = 3, concurrent: int = 2) -> None:
        super().__init__(max_trials, concurrent)
        self.seen: list[float] = []

    def loss(self, metric: float) -> float:
        loss = super().loss(metric)
        self.seen.append(loss)
        self.look(loss)
        return loss

    def look(self, loss: float) -> object:
        return None


class TakesTheMean(Keeps):
    def look(self, loss: float) -> object:
        return sum(self.seen) / len(self.seen)


class LooksForIt(Keeps):
    def look(self, loss: float) -> object:
        return -1.0 in self.seen


class TakesTheMeanElsewhere(Keeps):
    def look(self, loss: float) -> object:
        return statistics.fmean(self.seen)


class ListsTheClosed(SmallHalving):
    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        self.closed = list(state.trials_closed)
        return super().on_trial_closed(state, request_id)


GROW: dict[type[SmallHalving], str] = {
    TakesTheMean: "look",
    LooksForIt: "look",
    TakesTheMeanElsewhere: "fmean",
    ListsTheClosed: "on_trial_closed",
}


@pytest.mark.parametrize("method", GROW, ids=lambda method: method.__name__)
def test_walks_of_c_code_over_all_trials_are_found(method: type[SmallHalving]) -> None:
    finding = measured(method).finding
    assert finding is not None
    assert finding.kind is Kind.COST
    assert f"Most of the growth is in {GROW[method]} (" in finding.text.replace(f"{method.__name__}.", "")
    assert [step.event.partition(",")[0] for step in finding.story] == [
        f"in a search of {trials} trials" for trials in costs.SIZES[1:]
    ]


class LooksBack(Keeps):
    def look(self, loss: float) -> object:
        self.seen = self.seen[-100:]
        return sum(self.seen)


class SortsNowAndThen(Keeps):
    def look(self, loss: float) -> object:
        number = len(self.seen)
        return sorted(self.seen) if number & (number - 1) == 0 else None


class KeepsASortedList(Keeps):
    def __init__(self, max_trials: int = 3, concurrent: int = 2) -> None:
        super().__init__(max_trials, concurrent)
        self.sorted: Any = SortedList()

    def look(self, loss: float) -> object:
        self.sorted.add(loss)
        return self.sorted.bisect_left(loss), self.sorted[len(self.sorted) // 2]


@pytest.mark.parametrize("method", [LooksBack, SortsNowAndThen, KeepsASortedList], ids=lambda method: method.__name__)
def test_windows_rare_work_and_sorted_containers_pass(method: type[SmallHalving]) -> None:
    assert measured(method).finding is None


def test_the_verdict_is_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # Which sizes are compared depends on the time that the largest takes.
    monkeypatch.setattr(costs, "LIMIT_S", math.inf)
    first, again = (measured(TakesTheMean) for _ in range(2))
    assert first.finding is not None
    assert again.finding is not None
    assert (first.finding.kind, first.finding.text) == (again.finding.kind, again.finding.text)
    # A library may do a little more or less, as when it fills a cache.
    assert first.steps == pytest.approx(again.steps, rel=0.01)


def test_a_state_that_grows_faster_than_the_search_is_worth_a_note() -> None:
    class SavesPairs(Keeps):
        def snapshot(self) -> dict[str, Any]:
            return {**super().snapshot(), "pairs": [[0] * len(self.seen)] * len(self.seen)}

    notes = measured(SavesPairs).notes
    assert len(notes) == 1
    assert notes[0].startswith("the saved state grows faster than the number of trials: ")
    assert " bytes after 240 trials, " in notes[0]


def test_growth_in_a_library_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    libraries = tmp_path / "site-packages"
    libraries.mkdir()
    (libraries / "a_model_of_all.py").write_text("def fit(seen):\n    return [loss / 2 for loss in seen]\n")
    monkeypatch.syspath_prepend(libraries)
    fit = importlib.import_module("a_model_of_all").fit

    class Learns(Keeps):
        def look(self, loss: float) -> object:
            return fit(self.seen)

    found = measured(Learns)
    assert found.finding is None
    assert len(found.notes) == 1
    assert found.notes[0].startswith(
        "from 60 to 960 trials, on_validation_completed takes more and more steps in a lib"
    )
    assert "(a_model_of_all.py, line 1" in found.notes[0] or "(a_model_of_all.py, line 2" in found.notes[0]


def test_a_heavy_method_is_judged_by_smaller_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "_HEAVY", 10.0)
    finding = measured(AsksAll).finding
    assert finding is not None
    assert [step.event.partition(",")[0] for step in finding.story] == [
        f"in a search of {trials} trials" for trials in costs.SIZES[:3]
    ]


class AsksAll(Keeps):
    def look(self, loss: float) -> object:
        return [other for other in self.seen if other < loss]


def test_a_method_that_takes_too_long_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "LIMIT_S", -1.0)
    assert cost_note(SmallHalving).endswith("not measured: a search of 15 trials takes too long")


def cost_note(*args: Any, **kwargs: Any) -> str:
    report = check_search_method(*args, examples=1, other_processes=False, **kwargs)
    assert report.cost is None
    return next(note for note in report.notes if "cost of events" in note)


def test_what_has_only_one_size_gets_no_advice() -> None:
    space = Space.of({"x": Double(0, 1, 4)})
    assert cost_note(functools.partial(SingleSearch, space, 4)).endswith("not measured: it makes one trial")
    assert cost_note(functools.partial(GridSearch, space, 4)).endswith("not measured: a grid has the size of its space")
    config = {
        "searcher": {"name": "grid", "metric": "loss", "max_length": 4},
        "hyperparameters": {"x": {"type": "double", "minval": 0, "maxval": 1, "count": 3}},
    }
    assert cost_note(config=config).endswith("not measured: a grid has the size of its space")


def test_a_population_has_a_size() -> None:
    searcher = {"name": "pbt", "metric": "loss", "max_length": 4, "population_size": 4, "num_rounds": 2}
    hyperparameters = {"x": {"type": "double", "minval": 0, "maxval": 1}}
    assert check_cost(config={"searcher": searcher, "hyperparameters": hyperparameters})[0] > 0


class Budgeted(SmallHalving):
    def __init__(self, budget: int = 3) -> None:
        super().__init__(budget)


def test_the_argument_that_says_how_many_may_be_named() -> None:
    assert cost_note(Budgeted).endswith("name the one that says how many trials with sized=NAME")
    assert check_cost(Budgeted, sized="budget")[0] > 0
    assert check_cost(Budgeted, sized=Budgeted)[0] > 0


def test_a_method_that_ignores_its_size_is_not_compared() -> None:
    def make(max_trials: int = 3) -> SearchMethod:
        return SmallHalving(3)

    assert cost_note(make).endswith("searches that were to make 15, 60, 240, 960 trials made 3, 3, 3, 3")


def test_a_method_that_cannot_be_made_in_other_sizes_says_so() -> None:
    def make(max_trials: int = 3) -> SearchMethod:
        if max_trials != 3:
            raise ValueError("three it is")
        return SmallHalving(3)

    assert "cannot be made for other numbers of trials (ValueError: three it is)" in cost_note(make)


def test_a_failure_of_a_named_size_is_shown_again(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed):
        check_search_method(
            GrowsWithItsBudget, sized="budget", examples=1, other_processes=False, write=tmp_path / "a.py"
        )
    assert "        sized='budget',\n" in (tmp_path / "a.py").read_text()


class GrowsWithItsBudget(TakesTheMean):
    def __init__(self, budget: int = 3) -> None:
        super().__init__(budget)
