"""Search spaces of any shape: draws and grids stay in them, and nothing is lost on the way to JSON and back."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from determined.domain.config import parse_space
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
    grid_point,
    grid_size,
    sample,
)
from determined.domain.space import as_space

finite = st.floats(-1e12, 1e12)
counts = st.integers(1, 4)
plain = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | finite | st.text("ab.[\\", max_size=3)
json_values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xy"), inner), max_leaves=4
)
# A member of a group that is called "type" would make a range of the group.
names = st.text("abc.[\\", min_size=1, max_size=3)


def ordered(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(values, values).map(sorted).filter(lambda ends: ends[0] < ends[1]).map(tuple)


ranges = (
    st.builds(lambda ends, count: Double(ends[0], ends[1], count), ordered(finite), counts)
    | st.builds(lambda ends, count: Int(ends[0], ends[1], count), ordered(st.integers(-(2**62), 2**62)), counts)
    | st.builds(lambda ends, count: Log(10, ends[0], ends[1], count), ordered(st.floats(-9, 9)), counts)
    | st.builds(lambda ends, count: LogDouble(ends[0], ends[1], count), ordered(st.floats(5e-324, 1e300)), counts)
    | st.builds(lambda ends, count: LogInt(ends[0], ends[1], count), ordered(st.integers(1, 2**62)), counts)
)
leaves = (
    ranges
    | st.builds(Const, json_values)
    | st.builds(Categorical, st.lists(json_values, min_size=1, max_size=3).map(tuple))
)
members: st.SearchStrategy[Hyperparameter] = st.recursive(
    leaves,
    lambda inner: (
        st.builds(Choice, st.lists(inner, min_size=1, max_size=3).map(tuple))
        | st.builds(Space.of, st.dictionaries(names, inner, max_size=3))
    ),
    max_leaves=6,
)
spaces = st.builds(Space.of, st.dictionaries(names, members, max_size=4))


def contains(member: Hyperparameter, value: Any) -> bool:
    if isinstance(member, Space):
        is_whole = isinstance(value, dict) and list(value) == [name for name, _ in member]
        return is_whole and all(contains(m, value[name]) for name, m in member)
    if isinstance(member, Choice):
        return any(contains(option, value) for option in member.options)
    if isinstance(member, Const):
        return bool(value == member.value)
    if isinstance(member, Categorical):
        return value in member.vals
    if type(value) is not (int if isinstance(member, (Int, LogInt)) else float):
        return False
    if isinstance(member, Log):
        return bool(member.base**member.minval * (1 - 1e-12) <= value <= member.base**member.maxval * (1 + 1e-12))
    return bool(member.minval <= value <= member.maxval)


@given(spaces, st.integers(0, 1000))
@settings(deadline=None)
def test_every_draw_is_a_point_of_the_space(space: Space, seed: int) -> None:
    point = sample(space, random.Random(seed))
    assert contains(space, point)
    assert point == sample(space, random.Random(seed))


@given(spaces, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_every_point_of_a_grid_is_a_point_of_the_space(space: Space, rng: random.Random) -> None:
    assert contains(space, grid_point(space, rng.randrange(grid_size(space))))


@given(ordered(st.integers(1, 2**62)) | ordered(st.integers(1, 60)), st.integers(2, 40))
@settings(deadline=None)
def test_an_axis_of_logarithmic_integers_rises_from_one_end_to_the_other(ends: tuple[int, int], count: int) -> None:
    member = LogInt(*ends, count)
    axis = [member.axis_point(index) for index in range(member.axis_size)]
    assert (axis[0], axis[-1]) == ends
    assert len(axis) == min(count, ends[1] - ends[0] + 1)
    assert axis == sorted(set(axis))


@given(spaces)
@settings(deadline=None)
def test_a_space_that_is_written_as_a_configuration_is_read_back_equal(space: Space) -> None:
    assert parse_space(json.loads(json.dumps(space.to_json()))) == space
    assert as_space(dict(space.members)) == space
