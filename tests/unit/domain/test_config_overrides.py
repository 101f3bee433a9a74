from __future__ import annotations

import random
from typing import Any

import pytest

from determined.domain.config import ConfigDefaults, minimal_for_test_mode, parse_config, with_overrides
from determined.errors import InvalidConfig

TEXT = "name: x\nsearcher: {name: single, metric: loss}\nresources: null\n"


@pytest.mark.parametrize(
    ("override", "path", "expected"),
    [
        ("name=new", ["name"], "new"),
        ("max_restarts=0", ["max_restarts"], 0),
        ("searcher.max_length.batches=1e3", ["searcher", "max_length"], {"batches": 1000.0}),
        ("searcher.metric=null", ["searcher", "metric"], None),
        ("resources.slots_per_trial=2", ["resources"], {"slots_per_trial": 2}),
        ("description=a=b", ["description"], "a=b"),
        ("description=", ["description"], None),
        ("entrypoint=[a, b]", ["entrypoint"], ["a", "b"]),
        ("data.x={a: 1, b: 2}", ["data"], {"x": {"a": 1, "b": 2}}),
        ("data.x=1,b,2.5", ["data"], {"x": [1, "b", 2.5]}),
        ("data.x='1,b'", ["data"], {"x": "1,b"}),
        ("data.x='1','b'", ["data"], {"x": ["1", "b"]}),
        ("labels=one", ["labels"], ["one"]),
        ("labels={a: true}", ["labels"], {"a": True}),
        ("labels=null", ["labels"], None),
        ("labels=a,b", ["labels"], ["a", "b"]),
        ("environment.environment_variables=A=1", ["environment"], {"environment_variables": ["A=1"]}),
        ("bind_mounts={host_path: /a, container_path: /a}", ["bind_mounts", 0, "host_path"], "/a"),
    ],
)
def test_an_override_sets_one_value(override: str, path: list[str | int], expected: Any) -> None:
    found: Any = with_overrides(TEXT, [override])
    for key in path:
        found = found[key]
    assert found == expected


def test_overrides_apply_in_order_to_texts_and_mappings() -> None:
    changed = with_overrides({"name": "x"}, ["name=a", "name=b", "data.k=1"])
    assert changed == {"name": "b", "data": {"k": 1}}
    assert with_overrides(b"name: x", []) == {"name": "x"}


def test_an_override_changes_one_of_two_aliases_only() -> None:
    changed = with_overrides("a: &a {k: 1}\nb: *a\n", ["a.k=2"])
    assert changed == {"a": {"k": 2}, "b": {"k": 1}}


@pytest.mark.parametrize(
    ("override", "path", "part"),
    [
        ("name", "", "key.sub=value"),
        ("=5", "", "key.sub=value"),
        ("a..b=5", "", "key.sub=value"),
        ("name.sub=5", "name.sub", "name is not a mapping"),
        ("searcher.name.a.b=5", "searcher.name.a.b", "searcher.name is not a mapping"),
        ("data=[1", "data", "not valid YAML"),
        ("data=!!str x", "data", "tag"),
        ("data={a: 1, a: 2}", "data", "twice"),
    ],
)
def test_a_malformed_override_is_refused(override: str, path: str, part: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        with_overrides(TEXT, [override])
    [problem] = caught.value.problems
    assert problem.path == path
    assert part in problem.message


def test_all_malformed_overrides_and_mistakes_of_the_text_are_listed() -> None:
    with pytest.raises(InvalidConfig) as caught:
        with_overrides("a: 1\na: 2\n", ["x", "y"])
    assert len(caught.value.problems) == 3


CONFIG: dict[str, Any] = {
    "entrypoint": "python3 train.py",
    "description": "mine",
    "max_restarts": 5,
    "searcher": {"name": "adaptive_asha", "metric": "acc", "smaller_is_better": False, "max_length": {"epochs": 3}},
    "checkpoint_storage": {"type": "shared_fs", "host_path": "/data"},
    "hyperparameters": {
        "lr": {"type": "log", "base": 10, "minval": -4, "maxval": -2},
        "n": {"a": {"type": "int", "minval": 0, "maxval": 10}, "b": {"type": "const", "val": {"type": "x"}}},
        "c": {"type": "categorical", "vals": ["x", "y", "z"]},
        "d": 0.5,
    },
}


def test_the_test_mode_is_one_batch_of_one_point_that_leaves_nothing() -> None:
    short = minimal_for_test_mode(CONFIG)
    assert short["searcher"] == {
        "name": "single",
        "metric": "acc",
        "smaller_is_better": False,
        "max_length": {"batches": 1},
    }
    assert short["description"] == "[test-mode] mine"
    assert short["max_restarts"] == 0
    assert short["scheduling_unit"] == 1
    assert short["checkpoint_storage"] == {
        "type": "shared_fs",
        "host_path": "/data",
        "save_experiment_best": 0,
        "save_trial_best": 0,
        "save_trial_latest": 0,
    }
    assert short["hyperparameters"] == {
        "lr": {"type": "const", "val": pytest.approx(1e-3)},
        "n": {"a": {"type": "const", "val": 5}, "b": {"type": "const", "val": {"type": "x"}}},
        "c": {"type": "const", "val": "y"},
        "d": {"type": "const", "val": 0.5},
    }
    assert CONFIG["max_restarts"] == 5


def test_the_test_mode_draws_from_a_generator_when_given_one() -> None:
    points = [minimal_for_test_mode(CONFIG, random.Random(seed))["hyperparameters"] for seed in (1, 1, 2)]
    assert points[0] == points[1] != points[2]


@pytest.mark.parametrize("config", [CONFIG, {"entrypoint": "x", "searcher": {"name": "custom", "metric": "m"}}])
def test_the_test_mode_gives_a_valid_configuration(config: dict[str, Any]) -> None:
    defaults = ConfigDefaults({"type": "shared_fs", "host_path": "/ckpt"}, "generated", 1)
    parsed = parse_config(minimal_for_test_mode(config), defaults)
    assert parsed.searcher.name == "single"
    assert parsed.checkpoint_storage.save_trial_latest == 0


def test_the_test_mode_of_nonsense_is_left_for_the_parser_to_refuse() -> None:
    assert minimal_for_test_mode({"searcher": 5, "checkpoint_storage": None})["searcher"]["metric"] is None
    with pytest.raises(InvalidConfig):
        minimal_for_test_mode({"hyperparameters": {"a": {"type": "x"}}})
