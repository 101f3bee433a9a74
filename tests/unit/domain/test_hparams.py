from __future__ import annotations

import itertools
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from determined.domain.hparams import (
    Categorical,
    Const,
    Double,
    Hyperparameter,
    Int,
    Log,
    Space,
    grid_point,
    grid_size,
    sample,
)

FINITE = st.floats(allow_nan=False, allow_infinity=False)
SPACE = Space.of(
    {
        "z": Const({"layers": [1, 2.0]}),
        "a": Int(-2, 2, 3),
        "m": Space.of({"lr": Log(10, -3, -1, 3), "act": Categorical(("relu", None))}),
        "k": Double(0, 1, 2),
    }
)


class Fixed:
    """A generator of the one number that a test asks for."""

    def __init__(self, number: float) -> None:
        self.number = number

    def random(self) -> float:
        return self.number

    def randrange(self, start: int, /) -> int:
        return int(self.number * start)


def axis(member: Hyperparameter) -> list[Any]:
    return [member.axis_point(index) for index in range(member.axis_size)]


def test_members_are_sorted_by_name() -> None:
    assert [name for name, _ in SPACE] == ["a", "k", "m", "z"]
    assert len(SPACE) == 4


def test_a_seed_decides_the_whole_sequence_of_samples() -> None:
    one, other = random.Random(7), random.Random(7)
    assert [sample(SPACE, one) for _ in range(20)] == [sample(SPACE, other) for _ in range(20)]


def test_samples_are_drawn_in_the_order_of_the_names_whatever_the_order_of_writing() -> None:
    members: dict[str, Hyperparameter] = {"b": Int(0, 1000), "a": Double(0, 1)}
    swapped = dict(reversed(members.items()))
    assert sample(Space.of(members), random.Random(1)) == sample(Space.of(swapped), random.Random(1))


def test_a_sample_may_be_changed_without_changing_the_space() -> None:
    sample(SPACE, random.Random(1))["z"]["layers"].append(3)
    assert sample(SPACE, random.Random(1))["z"] == {"layers": [1, 2.0]}


def test_constants_keep_their_type() -> None:
    space = Space.of({"i": Const(1), "f": Const(1.0)})
    point = sample(space, random.Random(0))
    assert (type(point["i"]), type(point["f"])) == (int, float)
    assert grid_point(space, 0) == point


def test_an_int_reaches_both_ends() -> None:
    assert {Int(3, 5).draw(random.Random(seed)) for seed in range(50)} == {3, 4, 5}


@given(FINITE, FINITE, st.floats(0, 1, exclude_max=True))
@settings(deadline=None)
def test_a_double_is_at_least_the_lower_end_and_below_the_upper(low: float, high: float, share: float) -> None:
    if low >= high:
        low, high = -1.0, 1.0
    assert low <= Double(low, high).draw(Fixed(share)) < high


@given(st.floats(0.01, 100), st.floats(-20, 20), st.floats(0.001, 20), st.floats(0, 1, exclude_max=True))
@settings(deadline=None)
def test_a_log_stays_between_the_powers_of_its_bounds(base: float, low: float, width: float, share: float) -> None:
    member = Log(base, low, low + width)
    ends = sorted([math.pow(base, low), math.pow(base, low + width)])
    assert ends[0] <= member.draw(Fixed(share)) <= ends[1]


def test_a_categorical_gives_each_of_its_values() -> None:
    assert {Categorical(("a", "b")).draw(random.Random(seed)) for seed in range(50)} == {"a", "b"}


@pytest.mark.parametrize(
    ("member", "points"),
    [
        (Int(0, 10, 3), [0, 5, 10]),
        (Int(0, 10, 4), [0, 3, 7, 10]),
        (Int(-3, 0, 3), [-3, -2, 0]),
        (Int(1, 3, 50), [1, 2, 3]),
        (Int(0, 5, 1), [3]),
        (Int(-5, 0, 1), [-3]),
        (Int(0, 2**62, 2), [0, 2**62]),
        (Double(0.0, 1.0, 5), [0.0, 0.25, 0.5, 0.75, 1.0]),
        (Double(0.0, 1.0, 1), [0.5]),
        (Double(-1.7e308, 1.7e308, 3), [-1.7e308, 0.0, 1.7e308]),
        (Log(10, -2, 2, 3), [0.01, 1.0, 100.0]),
        (Log(10, -2, 2, 1), [1.0]),
        (Categorical((1, "b", None)), [1, "b", None]),
        (Const([1]), [[1]]),
    ],
)
def test_an_axis_is_evenly_spaced_with_both_ends(member: Hyperparameter, points: list[Any]) -> None:
    assert axis(member) == pytest.approx(points) if isinstance(member, Log) else axis(member) == points


def test_the_last_name_varies_fastest() -> None:
    space = Space.of({"b": Categorical(("x", "y")), "a": Int(0, 1, 2), "c": Double(0, 1, 2)})
    points = [grid_point(space, index) for index in range(grid_size(space))]
    expected = [{"a": a, "b": b, "c": c} for a, b, c in itertools.product([0, 1], ["x", "y"], [0, 1])]
    assert points == expected
    assert list(points[0]) == ["a", "b", "c"]


def test_nested_members_take_the_place_of_their_name() -> None:
    points = [grid_point(SPACE, index) for index in range(grid_size(SPACE))]
    expected = [
        {"a": a, "k": k, "m": {"act": act, "lr": pytest.approx(lr)}, "z": {"layers": [1, 2.0]}}
        for a, k, act, lr in itertools.product([-2, 0, 2], [0, 1], ["relu", None], [1e-3, 1e-2, 1e-1])
    ]
    assert points == expected


def test_the_grid_of_no_hyperparameters_is_one_empty_point() -> None:
    assert grid_size(Space()) == 1
    assert grid_point(Space(), 0) == {}


def test_a_point_of_a_huge_grid_costs_no_list() -> None:
    space = Space.of({f"h{index}": Int(0, 10**6, 10**6) for index in range(10)})
    assert grid_size(space) == 10**60
    assert set(grid_point(space, 10**60 - 1).values()) == {10**6}


@pytest.mark.parametrize("index", [-1, 36])
def test_a_point_outside_of_the_grid_is_refused(index: int) -> None:
    with pytest.raises(IndexError, match="the grid has 36"):
        grid_point(SPACE, index)


def test_a_grid_without_count_is_refused() -> None:
    with pytest.raises(ValueError, match="count"):
        grid_size(Space.of({"lr": Double(0, 1)}))


def test_a_space_is_written_as_a_configuration_writes_it() -> None:
    assert SPACE.to_json() == {
        "a": {"type": "int", "minval": -2, "maxval": 2, "count": 3},
        "k": {"type": "double", "minval": 0, "maxval": 1, "count": 2},
        "m": {
            "act": {"type": "categorical", "vals": ["relu", None]},
            "lr": {"type": "log", "base": 10, "minval": -3, "maxval": -1, "count": 3},
        },
        "z": {"type": "const", "val": {"layers": [1, 2.0]}},
    }
