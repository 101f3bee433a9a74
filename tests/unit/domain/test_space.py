from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from determined import searcher
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
)
from determined.domain.space import as_space, choice, lograndint, loguniform, randint, uniform
from determined.errors import InvalidConfig
from determined.methods.grid import GridSearch
from determined.methods.random import RandomSearch
from determined.methods.single import SingleSearch


class Share:
    """A generator of the one number that a test asks for."""

    def __init__(self, number: float) -> None:
        self.number = number

    def random(self) -> float:
        return self.number

    def randrange(self, start: int, /) -> int:
        return int(self.number * start)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (uniform(0, 1), Double(0, 1)),
        (uniform(0, 1, count=3), Double(0, 1, 3)),
        (loguniform(1e-4, 0.1), LogDouble(1e-4, 0.1)),
        (randint(1, 4), Int(1, 4)),
        (lograndint(1, 64, count=4), LogInt(1, 64, 4)),
        (choice([16, 32]), Categorical((16, 32))),
        (choice(range(3)), Categorical((0, 1, 2))),
        (choice([[1, 2], {"a": 1}]), Categorical(([1, 2], {"a": 1}))),
        (choice([0, uniform(1, 2)]), Choice((Const(0), Double(1, 2)))),
        (choice([[1, 2], uniform(1, 2)]), Choice((Const([1, 2]), Double(1, 2)))),
        (choice([Const({"a": 1}), 2]), Choice((Const({"a": 1}), Const(2)))),
        (choice([{"n": choice([1, uniform(0, 1)])}]), Choice((Space((("n", Choice((Const(1), Double(0, 1)))),)),))),
        (5, Const(5)),
        (None, Const(None)),
        ([1, "a"], Const([1, "a"])),
        (Const({"a": 1}), Const({"a": 1})),
        (Log(10, -3, -1), Log(10, -3, -1)),
        (Space.of({"a": Int(0, 1)}), Space.of({"a": Int(0, 1)})),
        ({"b": {"c": uniform(0, 1)}, "a": 1}, Space((("a", Const(1)), ("b", Space((("c", Double(0, 1)),)))))),
        ({"type": "log", "base": 10, "minval": -3, "maxval": -1}, Log(10, -3, -1)),
        (uniform(np.float64(0.5), np.int32(2)), Double(0.5, 2)),
    ],
)
def test_what_is_written_in_python_becomes_the_kind_of_a_configuration(given: Any, kind: Hyperparameter) -> None:
    space = as_space({"x": given})
    assert space == Space((("x", kind),))
    assert parse_space(space.to_json()) == space


def test_a_space_is_given_back_as_it_is() -> None:
    space = Space.of({"x": Int(0, 1)})
    assert as_space(space) is space


def test_all_problems_of_a_space_are_told_at_once_in_the_words_of_the_functions() -> None:
    with pytest.raises(InvalidConfig) as refused:
        as_space(
            {
                "lr": loguniform(0, 1),
                "layers": randint(1.0, "a"),  # type: ignore[arg-type]
                "size": lograndint(0, 5, count=0),
                "optimizer": choice([{"momentum": uniform(2, 1)}, 3]),
                "none": choice([]),
                "list": [uniform(0, 1)],
                "minval": float("nan"),
                "thing": object(),
                "group": {"type": 3},
            }
        )
    told = {problem.path: problem.message for problem in refused.value.problems}
    assert told == {
        "lr.low": "must be greater than 0, not 0",
        "layers.low": "must be a whole number, not 1.0; write it as 1",
        "layers.high": "must be a whole number, not the text 'a'",
        "size.low": "must be a whole number of at least 1, not 0",
        "size.count": "must be a whole number from 1 to 2147483647, not 0",
        "optimizer.options.0.momentum.low": "must be less than high, but 2 is not less than 1",
        "none.vals": "is empty; list at least one value",
        "list": "is a list with a range in it; only mappings and the options of a choice can hold ranges",
        "minval": "must be a finite number within 64 bits; write others as text, in quotes",
        "thing": "a value of type object cannot stand in a configuration; convert it",
        "group.type": told["group.type"],
    }
    assert told["group.type"].startswith("must be one of const, int")


def test_a_bound_beyond_64_bits_is_told_with_what_is_allowed() -> None:
    with pytest.raises(InvalidConfig) as refused:
        as_space({"a": randint(0, 2**80), "b": randint(-(2**80), 0), "c": lograndint(2**80, 2**81)})
    low, high = -(2**63), 2**63 - 1
    assert {problem.path: problem.message for problem in refused.value.problems} == {
        "a.high": f"must be a whole number from {low} to {high}, not {2**80}",
        "b.low": f"must be a whole number from {low} to {high}, not {-(2**80)}",
        "c.low": f"must be a whole number from 1 to {high}, not {2**80}",
        "c.high": f"must be a whole number from {low} to {high}, not {2**81}",
    }


def test_a_mapping_that_holds_itself_is_refused_for_its_depth() -> None:
    loop: dict[str, Any] = {"x": uniform(0, 1)}
    loop["loop"] = loop
    hidden: list[Any] = []
    hidden.append(hidden)
    for source in (loop, {"a": choice([loop])}, {"a": hidden}):
        with pytest.raises(InvalidConfig, match="nested more than 64 levels"):
            as_space(source)


@pytest.mark.parametrize("options", ["abc", {"a": 1}, 5, b"x"])
def test_a_choice_of_something_that_is_no_list_is_refused_at_once(options: Any) -> None:
    with pytest.raises(TypeError, match=r"write choice\(\[...\]\)"):
        choice(options)


@pytest.mark.parametrize("source", [5, [uniform(0, 1)], None])
def test_a_space_that_is_no_mapping_is_refused(source: Any) -> None:
    with pytest.raises(TypeError, match="is a mapping of names"):
        as_space(source)


def test_hyperparameters_of_an_option_are_drawn_only_with_it() -> None:
    space = as_space({"opt": choice([{"name": "sgd", "momentum": uniform(0, 1)}, {"name": "adam"}])})
    points = [space.draw(random.Random(seed))["opt"] for seed in range(50)]
    assert {point["name"] for point in points} == {"sgd", "adam"}
    assert all(("momentum" in point) == (point["name"] == "sgd") for point in points)


def test_a_logarithmic_range_ends_at_its_bounds_exactly_and_with_floats() -> None:
    for low, high in ((3e-4, 7e-2), (1, 10)):
        assert LogDouble(low, high).draw(Share(0.0)) == low
        assert low <= LogDouble(low, high).draw(Share(1 - 2**-53)) <= high
        ends = [LogDouble(low, high, 3).axis_point(index) for index in (0, 2)]
        assert ends == [low, high]
        assert all(type(end) is float for end in ends)


def test_half_of_the_draws_of_a_logarithmic_range_are_below_its_geometric_mean() -> None:
    assert LogDouble(1e-4, 1e-2).draw(Share(0.5)) == pytest.approx(1e-3)
    assert LogInt(1, 63).draw(Share(0.5)) == round((0.5 * 63.5) ** 0.5)


def test_small_numbers_come_more_often_from_a_logarithmic_range_of_integers() -> None:
    drawn = [LogInt(1, 4).draw(Share((n + 0.5) / 10_000)) for n in range(10_000)]
    shares = [drawn.count(k) / drawn.count(1) for k in (1, 2, 3, 4)]
    assert shares == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4], rel=0.1)


@pytest.mark.parametrize(
    ("member", "points"),
    [
        (LogInt(1, 1000, 4), [1, 10, 100, 1000]),
        (LogInt(1, 10, 50), list(range(1, 11))),
        (LogInt(1, 100, 8), [1, 2, 4, 7, 14, 27, 52, 100]),
        (LogInt(4, 16, 1), [8]),
        (LogDouble(0.01, 1, 3), [0.01, 0.1, 1.0]),
        (LogDouble(0.01, 1, 1), [0.1]),
        (Choice((Int(0, 1, 2), Const("a"), Space.of({"x": Categorical((5, 6))}))), [0, 1, "a", {"x": 5}, {"x": 6}]),
    ],
)
def test_the_axes_of_a_grid(member: Hyperparameter, points: list[Any]) -> None:
    axis = [member.axis_point(index) for index in range(member.axis_size)]
    assert axis == [pytest.approx(point) if isinstance(point, float) else point for point in points]


def test_a_grid_goes_through_the_points_of_every_option() -> None:
    space = as_space({"a": choice([{"x": uniform(0, 1, count=2)}, 7]), "b": choice([1, 2])})
    points = [grid_point(space, index) for index in range(grid_size(space))]
    assert points == [{"a": a, "b": b} for a in ({"x": 0.0}, {"x": 1.0}, 7) for b in (1, 2)]


def test_a_point_past_the_end_of_a_choice_is_refused() -> None:
    with pytest.raises(IndexError, match="no such point"):
        Choice((Const(1),)).axis_point(1)


@pytest.mark.parametrize(
    ("member", "path"),
    [
        ({"type": "log_double", "minval": 1, "maxval": 2}, "hyperparameters.x.count"),
        ({"type": "log_int", "minval": 1, "maxval": 2}, "hyperparameters.x.count"),
        (
            {"type": "choice", "options": [1, {"y": {"type": "int", "minval": 1, "maxval": 2}}]},
            "hyperparameters.x.options.1.y.count",
        ),
    ],
)
def test_a_grid_needs_the_count_of_each_range(member: Any, path: str) -> None:
    from determined.domain.config import ConfigDefaults, parse_config

    config = {
        "entrypoint": "true",
        "hyperparameters": {"x": member},
        "searcher": {"name": "grid", "metric": "loss", "max_length": 1},
    }
    with pytest.raises(InvalidConfig) as refused:
        parse_config(config, ConfigDefaults({"type": "shared_fs", "host_path": "/c"}, "n", 0))
    assert [problem.path for problem in refused.value.problems] == [path]


@pytest.mark.parametrize(
    ("data", "path", "part"),
    [
        ({"type": "log_double", "maxval": 1}, "x.minval", "missing"),
        ({"type": "log_double", "minval": -1, "maxval": 1}, "x.minval", "greater than 0"),
        ({"type": "log_double", "minval": 2, "maxval": 1}, "x.minval", "less than maxval"),
        ({"type": "log_double", "minval": 1, "maxval": 2, "base": 10}, "x.base", "known"),
        ({"type": "log_int", "minval": 1}, "x.maxval", "missing"),
        ({"type": "log_int", "minval": 0, "maxval": 5}, "x.minval", "at least 1"),
        ({"type": "log_int", "minval": 5, "maxval": 5}, "x.minval", "less than maxval"),
        ({"type": "choice"}, "x.options", "missing"),
        ({"type": "choice", "options": []}, "x.options", "empty"),
        ({"type": "choice", "options": "a"}, "x.options", "a list"),
        ({"type": "choice", "options": [{"type": "itn"}]}, "x.options.0.type", "did you mean int?"),
        (
            {"type": "choice", "options": [1, {"y": {"type": "int", "minval": 2, "maxval": 1}}]},
            "x.options.1.y.minval",
            "l",
        ),
    ],
)
def test_a_wrong_range_of_a_configuration_is_named(data: Any, path: str, part: str) -> None:
    with pytest.raises(InvalidConfig) as refused:
        parse_space({"x": data})
    assert [problem.path for problem in refused.value.problems] == [path]
    assert part in refused.value.problems[0].message


def test_methods_take_a_mapping() -> None:
    space = {"x": uniform(0, 1, count=3), "opt": choice([{"m": randint(0, 1, count=2)}, "adam"])}
    assert RandomSearch(space, 10, 4, seed=3).point(0) == RandomSearch(as_space(space), 10, 4, seed=3).point(0)
    assert GridSearch(space, 10).total == 9
    assert SingleSearch(space, 10).point(0).keys() == {"x", "opt"}
    with pytest.raises(InvalidConfig, match=r"x\.low"):
        RandomSearch({"x": uniform(1, 0)}, 10, 4)


@pytest.mark.parametrize("name", searcher.__all__)
def test_every_name_of_the_package_can_be_had(name: str) -> None:
    assert getattr(searcher, name) is getattr(searcher, name)


def test_a_name_that_the_package_does_not_have_is_refused() -> None:
    with pytest.raises(AttributeError, match="'Nothing'"):
        searcher.Nothing  # noqa: B018
