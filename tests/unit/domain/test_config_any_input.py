from __future__ import annotations

import json
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from determined.domain.config import ConfigDefaults, ExperimentConfig, parse_config, with_overrides
from determined.errors import InvalidConfig

DEFAULTS = ConfigDefaults({"type": "shared_fs", "host_path": "/ckpt"}, "generated", 1)
EXAMPLE = """\
name: x
entrypoint: [python3, train.py]
labels: [a, b]
searcher: {name: adaptive_asha, metric: loss, max_length: {batches: 100}, max_trials: 16, bracket_rungs: [2, 1]}
hyperparameters:
  lr: &lr {type: log, base: 10, minval: -4, maxval: -1.5, count: 3}
  other: *lr
  act: {type: categorical, vals: [relu, null, 1e-3]}
  nested: {a: {type: int, minval: 1, maxval: 5}, <<: *lr}
resources: {slots_per_trial: 1, devices: ['/a:/b'], shm_size: 1g, weight: 1.5}
environment: {environment_variables: {cpu: [A=1]}, ports: {a: 1}, registry_auth: {password: p}}
bind_mounts: [{host_path: /a, container_path: /b}]
checkpoint_storage: {type: shared_fs, host_path: /d, storage_path: e}
reproducibility: {experiment_seed: 12:30:00}
"""
KEYS = sorted({key for line in EXAMPLE.splitlines() for key in line.replace(":", " ").split() if key.isidentifier()})
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.sampled_from([*KEYS, "..", "/a", "single", "grid", "int", "double", "const"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | SCALARS, inner, max_size=6),
)


def outcome(source: Any) -> ExperimentConfig | InvalidConfig:
    try:
        return parse_config(source, DEFAULTS)
    except InvalidConfig as refusal:
        return refusal


def check(source: Any) -> None:
    """The promise: a configuration that can be stored and read again, or a refusal that explains itself."""
    result = outcome(source)
    if isinstance(result, ExperimentConfig):
        text = json.dumps(result.complete, allow_nan=False)
        assert parse_config(json.loads(text), DEFAULTS) == result
    else:
        assert 1 <= len(result.problems) <= 101
        assert str(result).encode()
        assert all(len(problem.message) < 2000 for problem in result.problems)


@given(st.text())
@settings(deadline=None)
def test_any_text_gives_a_configuration_or_a_refusal(text: str) -> None:
    check(text)


@given(st.binary())
@settings(deadline=None)
def test_any_bytes_give_a_configuration_or_a_refusal(raw: bytes) -> None:
    check(raw)


@given(VALUES)
@settings(deadline=None)
def test_any_value_gives_a_configuration_or_a_refusal(value: Any) -> None:
    check(value)


@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6), st.sampled_from(KEYS))
@settings(max_examples=300, deadline=None)
def test_any_values_of_known_fields_give_a_configuration_or_a_refusal(fields: dict[str, Any], name: str) -> None:
    example = yaml.safe_load(EXAMPLE)
    inner = example.get(name)
    changed = {**example, **fields}
    if isinstance(inner, dict):
        changed[name] = {**inner, **fields}
    check(changed)


@given(
    st.integers(0, len(EXAMPLE)),
    st.integers(0, 20),
    st.text(max_size=8) | st.sampled_from(["\t", "*lr", "&lr", "{", "!!str "]),
)
@settings(max_examples=500, deadline=None)
def test_any_edit_of_a_good_text_gives_a_configuration_or_a_refusal(start: int, cut: int, inserted: str) -> None:
    check(EXAMPLE[:start] + inserted + EXAMPLE[start + cut :])


@given(st.lists(st.text() | st.tuples(st.sampled_from(KEYS), st.text()).map("=".join), max_size=3))
@settings(deadline=None)
def test_any_overrides_give_a_mapping_or_a_refusal(overrides: list[str]) -> None:
    try:
        changed = with_overrides(EXAMPLE, overrides)
    except InvalidConfig:
        return
    check(changed)
