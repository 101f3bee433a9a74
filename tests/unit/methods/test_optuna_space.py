from __future__ import annotations

from typing import Any

import pytest

from determined.domain.hparams import Categorical, Const, Log, Space
from determined.domain.space import as_space, choice, lograndint, loguniform, randint, uniform
from determined.methods.optuna_space import flaws, suggest


class Trial:
    """Suggests the lowest value, or the category of a given index, and keeps what it was asked."""

    def __init__(self, index: int = 0) -> None:
        self.index = index
        self.asked: list[tuple[Any, ...]] = []

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.asked.append((name, low, high, log))
        return low

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        self.asked.append((name, low, high, log))
        return low

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        self.asked.append((name, choices))
        return choices[self.index]


def test_each_kind_is_suggested_in_the_order_of_the_names() -> None:
    trial = Trial()
    space = as_space(
        {
            "f": uniform(0, 2),
            "e": {"y": randint(1, 4), "x": lograndint(1, 8)},
            "d": loguniform(0.1, 1),
            "c": choice(["a", None, 2]),
            "b": 7,
            "a": Log(10, -2, 1),
        }
    )
    assert suggest(trial, space) == {"a": 0.01, "b": 7, "c": "a", "d": 0.1, "e": {"x": 1, "y": 1}, "f": 0.0}
    assert trial.asked == [
        ("a", 0.01, 10.0, True),
        ("c", ("a", None, 2)),
        ("d", 0.1, 1.0, True),
        ("e.x", 1, 8, True),
        ("e.y", 1, 4, False),
        ("f", 0.0, 2.0, False),
    ]


@pytest.mark.parametrize("vals", [([1], "a"), (1, 1.0), (True, 1), ({"a": 1},), ("a", "a")])
def test_values_that_optuna_could_confuse_or_not_hold_go_by_their_index(vals: tuple[Any, ...]) -> None:
    trial = Trial(len(vals) - 1)
    assert suggest(trial, Space.of({"c": Categorical(vals)})) == {"c": vals[-1]}
    assert trial.asked == [("c", tuple(range(len(vals))))]


def test_the_chosen_option_alone_is_suggested() -> None:
    trial = Trial(1)
    space = as_space({"opt": choice([uniform(0, 1), {"m": uniform(0, 1), "n": choice([5, {"z": randint(2, 3)}])}])})
    assert suggest(trial, space) == {"opt": {"m": 0.0, "n": {"z": 2}}}
    assert [name for name, *_ in trial.asked] == ["opt", "opt[1].m", "opt[1].n", "opt[1].n[1].z"]


def test_names_that_look_like_places_are_told_from_places() -> None:
    trial = Trial()
    space = as_space(
        {
            "a.b": uniform(0, 1),
            "a": {"b": uniform(0, 1)},
            "c": choice([{"x": uniform(0, 1)}]),
            "c[0]": {"x": uniform(0, 1)},
        }
    )
    suggest(trial, space)
    names = [name for name, *_ in trial.asked]
    assert len(set(names)) == len(names) == 5


def test_a_log_range_with_a_base_below_one_is_turned_around() -> None:
    trial = Trial()
    suggest(trial, Space.of({"x": Log(0.5, 1, 3)}))
    assert trial.asked == [("x", 0.125, 0.5, True)]


def test_what_optuna_cannot_draw_from_is_found_at_any_depth() -> None:
    wide = uniform(-1.7e308, 1.7e308)
    space = as_space({"a": {"b": Log(10, -400, 0)}, "c": choice([1, {"d": wide}]), "e": uniform(0, 1), "f": Const(1)})
    assert set(flaws(space)) == {"a.b", "c[1].d"}
