from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from determined.domain.hparams import (
    Categorical,
    Choice,
    Const,
    Double,
    Hyperparameter,
    Int,
    Log,
    LogDouble,
    LogInt,
    Space,
)
from determined.methods.explore import changes, explore


class Fixed:
    """Draws of a script, for ever: chance below a probability of a half, and up or down."""

    def __init__(self, *draws: float) -> None:
        self.draws = itertools.cycle(draws)

    def random(self) -> float:
        return next(self.draws)

    def randrange(self, start: int, /) -> int:
        return 0


def moved(kind: Hyperparameter, value: Any, up: bool, factor: float = 0.2) -> Any:
    # Never drawn anew; then up or down; further draws are not used.
    rng = Fixed(0.99, 0.0 if up else 0.9, 0.5)
    return explore(Space.of({"x": kind}), {"x": value}, rng, 0.0, factor)["x"]


@pytest.mark.parametrize(
    ("kind", "value", "up", "down"),
    [
        (Double(0, 10), 5.0, 6.0, 4.0),
        (Double(-10, 10), -5.0, -6.0, -4.0),
        (Double(4.5, 5.5), 5.0, 5.499999999999999, 4.5),
        (Double(5, 5), 5.0, 5, 5),
        (Log(10, -3, -1), 0.01, 0.012, 0.008),
        (Log(10, -3, -1), 0.1, 0.1, 0.08),
        (Log(0.1, 1, 3), 0.001, 0.0012, 0.001),
        (LogDouble(0.001, 0.1), 0.1, 0.1, 0.08),
        (Int(1, 100), 50, 60, 40),
        (Int(1, 100), 2, 3, 1),
        (Int(1, 2), 2, 2, 1),
        (Int(-100, 100), -50, -60, -40),
        (LogInt(1, 64), 60, 64, 48),
        (Categorical(("a", "b")), "b", "b", "b"),
        (Choice((Const(1), Space.of({"y": Double(0, 1)}))), {"y": 0.5}, {"y": 0.5}, {"y": 0.5}),
        (Const(3), 3, 3, 3),
        (Space.of({"y": Int(1, 100)}), {"y": 50}, {"y": 60}, {"y": 40}),
    ],
)
def test_a_number_moves_by_the_factor_and_stays_in_bounds(kind: Hyperparameter, value: Any, up: Any, down: Any) -> None:
    assert moved(kind, value, True) == pytest.approx(up) if isinstance(up, float) else moved(kind, value, True) == up
    assert moved(kind, value, False) == pytest.approx(down) if isinstance(down, float) else True
    assert isinstance(down, float) or moved(kind, value, False) == down


def test_without_a_factor_nothing_moves() -> None:
    assert moved(Int(1, 100), 50, True, 0.0) == 50


def test_with_probability_one_everything_is_drawn_anew_but_constants() -> None:
    space = Space.of({"x": Int(1, 100), "act": Categorical(("a", "b")), "c": Const(5)})
    point = {"x": 50, "act": "b", "c": 5}
    assert explore(space, point, Fixed(0.5), 1.0, 0.2) == {"x": 1, "act": "a", "c": 5}


def test_what_happens_to_one_hyperparameter_does_not_shift_the_draws_of_another() -> None:
    space = Space.of({"a": Double(0, 1), "b": Double(0, 1)})
    one, other = (explore(space, {"a": a, "b": 0.5}, random.Random(3), 0.0, 0.2) for a in (0.1, 0.9))
    assert one["b"] == other["b"]


def test_changes_are_told_in_short() -> None:
    before = {"lr": 0.1, "net": {"size": 3, "kind": "a"}, "same": 1}
    after = {"lr": 0.123456789, "net": {"size": 4, "kind": "a"}, "same": 1}
    assert changes(before, after) == "lr 0.1 -> 0.123457, net.size 3 -> 4"
    assert changes(before, before) == "nothing"
    assert changes({}, {"new": {"x": 1}}) == "new None -> {'x': 1}"
    many = {f"h{i}": i for i in range(12)}
    assert changes(dict.fromkeys(many, -1), many).endswith("h7 -1 -> 7, 4 more")
    assert len(changes({"x" * 9999: "a" * 9999}, {"x" * 9999: "b" * 9999})) < 200
