from __future__ import annotations

import random
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from determined.domain.config import parse_space
from determined.domain.hparams import Categorical, Const, Double, Int, Log, Space, sample
from determined.errors import InvalidConfig


def parse(text: str) -> Space:
    return parse_space(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", Const(5)),
        ("5.0", Const(5.0)),
        ("text", Const("text")),
        ("null", Const(None)),
        ("[1, {type: int}]", Const([1, {"type": "int"}])),
        ("{type: const, val: 5}", Const(5)),
        ("{type: const, val: null}", Const(None)),
        ("{type: const, val: {type: int}}", Const({"type": "int"})),
        ("{type: int, minval: -5, maxval: 0}", Int(-5, 0)),
        ("{type: int, minval: 0, maxval: 5, count: 2}", Int(0, 5, 2)),
        ("{type: double, minval: 0, maxval: 0.5, count: null}", Double(0, 0.5)),
        ("{type: double, minval: -1, maxval: 0, count: 1}", Double(-1, 0, 1)),
        ("{type: log, base: 10, minval: -5.0, maxval: 0}", Log(10, -5.0, 0)),
        ("{type: log, base: 0.5, minval: 0, maxval: 9, count: 3}", Log(0.5, 0, 9, 3)),
        ("{type: categorical, vals: [a, 1, null, {b: c}]}", Categorical(("a", 1, None, {"b": "c"}))),
        ("{}", Space()),
        ("{b: 1, a: {c: 2}}", Space((("a", Space((("c", Const(2)),))), ("b", Const(1))))),
    ],
)
def test_each_kind_is_read_and_written_alike(text: str, expected: Any) -> None:
    space = parse(f"x: {text}")
    assert space == Space((("x", expected),))
    assert parse_space(space.to_json()) == space


@pytest.mark.parametrize(
    ("text", "path", "part"),
    [
        ("{type: null}", "x.type", "one of const, int"),
        ("{type: integer}", "x.type", "one of const, int"),
        ("{type: doubel}", "x.type", "did you mean double?"),
        ("{type: 5}", "x.type", "not 5"),
        ("{type: const}", "x.val", "missing"),
        ("{type: const, val: 1, value: 2}", "x.value", "did you mean val?"),
        ("{type: const, val: .nan}", "x.val", "finite"),
        (".inf", "x", "finite"),
        ("[.nan]", "x.0", "finite"),
        ("{type: int, maxval: 1}", "x.minval", "missing"),
        ("{type: int, minval: 1}", "x.maxval", "missing"),
        ("{type: int, minval: 1, maxval: 1}", "x.minval", "less than maxval"),
        ("{type: int, minval: 2, maxval: 1}", "x.minval", "less than maxval"),
        ("{type: int, minval: 0.5, maxval: 1}", "x.minval", "whole number"),
        ("{type: int, minval: 0, maxval: 9223372036854775808}", "x.maxval", "whole number"),
        ("{type: int, minval: 0, maxval: 1, count: 0}", "x.count", "from 1"),
        ("{type: int, minval: 0, maxval: 1, base: 2}", "x.base", "known"),
        ("{type: double, minval: .nan, maxval: 1}", "x.minval", "finite"),
        ("{type: double, minval: 0, maxval: .inf}", "x.maxval", "finite"),
        ("{type: double, minval: 1, maxval: 0}", "x.minval", "less than maxval"),
        ("{type: double, minval: '0', maxval: 1}", "x.minval", "a number"),
        ("{type: log, minval: 0, maxval: 1}", "x.base", "missing"),
        ("{type: log, base: 0, minval: 0, maxval: 1}", "x.base", "greater than 0"),
        ("{type: log, base: 10, minval: 0, maxval: 400}", "x.maxval", "too large"),
        ("{type: log, base: 1.0e-300, minval: -9, maxval: 0}", "x.minval", "too large"),
        ("{type: categorical}", "x.vals", "missing"),
        ("{type: categorical, vals: []}", "x.vals", "empty"),
        ("{type: categorical, vals: a}", "x.vals", "a list"),
        ("{type: categorical, vals: [1, .inf]}", "x.vals.1", "finite"),
        ("{a: {b: {type: int, minval: 1, maxval: 0}}}", "x.a.b.minval", "less than"),
        ('{"a\\n": 1}', "x.a\\n", "no name"),
    ],
)
def test_a_wrong_specification_is_refused_with_its_path(text: str, path: str, part: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        parse(f"x: {text}")
    [problem] = caught.value.problems
    assert problem.path == path
    assert part in problem.message


def test_an_overlong_name_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="no name for a hyperparameter"):
        parse_space({"x" * 10_000: 1})


BOUND = st.floats(-1e300, 1e300) | st.integers(-(2**63), 2**63 - 1)
MEMBER = st.one_of(
    st.tuples(BOUND, BOUND).map(lambda b: {"type": "double", "minval": min(b), "maxval": max(b)}),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=2, unique=True).map(
        lambda b: {"type": "int", "minval": min(b), "maxval": max(b)}
    ),
    st.tuples(st.floats(0.1, 10), st.floats(-30, 30), st.floats(1, 30)).map(
        lambda b: {"type": "log", "base": b[0], "minval": b[1], "maxval": b[1] + b[2]}
    ),
    st.lists(st.integers() | st.text(), min_size=1).map(lambda v: {"type": "categorical", "vals": v}),
    st.integers() | st.text() | st.none(),
)


@given(st.dictionaries(st.text(min_size=1), MEMBER), st.integers(0, 2**32))
@settings(deadline=None)
def test_a_sample_of_any_accepted_space_lies_within_it(data: dict[str, Any], seed: int) -> None:
    try:
        space = parse_space(data)
    except InvalidConfig:
        return
    point = sample(space, random.Random(seed))
    assert list(point) == sorted(data)
    for name, member in space:
        value = point[name]
        if isinstance(member, Int):
            assert member.minval <= value <= member.maxval
        elif isinstance(member, Double):
            assert member.minval <= value < member.maxval
        elif isinstance(member, Log):
            ends = sorted([member.base**member.minval, member.base**member.maxval])
            assert ends[0] <= value <= ends[1]
        elif isinstance(member, Categorical):
            assert value in member.vals
        else:
            assert isinstance(member, Const)
            assert value == member.value
