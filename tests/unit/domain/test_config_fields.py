from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import yaml

from determined.domain.config import ConfigDefaults, Environment, ExperimentConfig, Resources, parse_config
from determined.domain.config.bounds import MAX_NAME, MAX_TEXT
from determined.errors import InvalidConfig, Problem

DEFAULTS = ConfigDefaults({"type": "shared_fs", "host_path": "/ckpt"}, "Experiment (a-b-c)", 17, "default")
MINIMAL: dict[str, Any] = {"entrypoint": "python3 train.py", "searcher": {"name": "custom", "metric": "loss"}}


def parse(text: str = "") -> ExperimentConfig:
    """The minimal configuration with the fields of a YAML text over it."""
    return parse_config({**MINIMAL, **yaml.safe_load(text or "{}")}, DEFAULTS)


def problems(text: str) -> dict[str, str]:
    with pytest.raises(InvalidConfig) as caught:
        parse(text)
    return {problem.path: problem.message for problem in caught.value.problems}


def test_a_minimal_configuration_takes_every_default() -> None:
    config = parse()
    assert config.name == "Experiment (a-b-c)"
    assert config.seed == 17
    assert config.description is None
    assert config.labels == ()
    assert (config.workspace, config.project) == ("", "")
    assert config.entrypoint == "python3 train.py"
    assert config.max_restarts == 5
    assert config.resources == Resources(1, None, None, 1, "default")
    assert config.environment == Environment()
    assert config.environment_variables == ()
    assert len(config.hyperparameters) == 0
    assert config.data == {}
    assert config.debug is False
    assert config.warnings == ()
    assert config.checkpoint_storage.to_json()["host_path"] == "/ckpt"


def test_the_complete_configuration_has_the_fields_that_a_harness_reads() -> None:
    complete = parse().complete
    assert complete["scheduling_unit"] == 100
    assert complete["records_per_epoch"] == 0
    assert complete["checkpoint_policy"] == "best"
    assert complete["min_checkpoint_period"] == {"batches": 0}
    assert complete["min_validation_period"] == {"batches": 0}
    assert complete["perform_initial_validation"] is False
    assert complete["reproducibility"] == {"experiment_seed": 17}
    assert complete["resources"]["native_parallel"] is False
    assert complete["profiling"] == {
        "enabled": False,
        "begin_on_batch": 0,
        "end_after_batch": None,
        "sync_timings": True,
    }
    assert complete["optimizations"] == {
        "aggregation_frequency": 1,
        "average_aggregated_gradients": True,
        "average_training_metrics": True,
        "gradient_compression": False,
        "mixed_precision": "O0",
        "grad_updates_size_file": None,
        "tensor_fusion_threshold": 64,
        "tensor_fusion_cycle_time": 5,
        "auto_tune_tensor_fusion": False,
    }


def test_null_means_not_given_everywhere() -> None:
    nulls = "\n".join(f"{name}: null" for name in parse().complete if name not in MINIMAL)
    assert parse(nulls) == parse()
    nested = "resources: {slots_per_trial: null}\nprofiling: {enabled: ~}\nenvironment: {image: null}"
    assert parse(nested) == parse()


def test_a_complete_configuration_is_a_configuration_with_the_same_meaning() -> None:
    config = parse(EVERYTHING)
    again = parse_config(json.loads(json.dumps(config.complete)), DEFAULTS)
    assert again == config
    assert parse_config(yaml.safe_dump(dict(config.complete)), DEFAULTS) == config


EVERYTHING = """
name: My search
description: |
  two
  lines
labels: [b, a, b]
workspace: W
project: P
entrypoint: [python3, train.py, '']
hyperparameters: {a: 1, b: {type: double, minval: 0, maxval: 1}, c: {d: [1], e: {type: const, val: {type: 5}}}}
searcher: {name: adaptive_asha, metric: loss, max_length: {epochs: 9}, max_trials: 4}
resources: {slots_per_trial: 2, max_slots: 8, resource_pool: big, priority: 99, weight: 0.5, shm_size: 4g,
  devices: ['/dev/a:/dev/b', {host_path: /x, container_path: /y, mode: r}], native_parallel: true, agent_label: l}
max_restarts: 0
checkpoint_storage: {type: s3, bucket: b, prefix: p, save_trial_best: 3}
checkpoint_policy: none
min_checkpoint_period: {epochs: 1}
min_validation_period: 5
perform_initial_validation: yes
scheduling_unit: 1
records_per_epoch: 60000
reproducibility: {experiment_seed: 4294967295}
data: {url: x, list: [1, 1.0, null]}
debug: true
environment:
  environment_variables: {cpu: [A=1], cuda: [B=2], rocm: ['C=']}
  image: {cpu: i, gpu: j}
  ports: {web: 8080}
  proxy_ports: [{proxy_port: 1, proxy_tcp: true, unauthenticated: true}]
  force_pull_image: true
  registry_auth: {username: u, password: p}
  add_capabilities: [CAP_A]
  drop_capabilities: [CAP_B]
  pod_spec: {spec: {}}
bind_mounts: [{host_path: /d, container_path: /d, read_only: true, propagation: private}]
profiling: {enabled: true, begin_on_batch: 1, end_after_batch: 1, sync_timings: false}
optimizations: {aggregation_frequency: 2, mixed_precision: O1, grad_updates_size_file: f, gradient_compression: true}
data_layer: {type: shared_fs}
internal: {native: null}
tensorboard_storage: {type: gcs}
security: {x: 1}
slurm: {gpu_type: a100, sbatch_args: [-x], slots_per_node: 4}
pbs: {pbsbatch_args: [-y], slots_per_node: 8}
"""


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("name: x", "name", "x"),
        ("name: ''", "name", "Experiment (a-b-c)"),
        ("description: ''", "description", None),
        ("labels: {a: true, b: null}", "labels", ["a", "b"]),
        ("labels: []", "labels", []),
        ("workspace: ''\nproject: ''", "workspace", ""),
        ("entrypoint: [a]", "entrypoint", ["a"]),
        ("resources: {slots_per_trial: 0}", "resources.slots_per_trial", 0),
        ("resources: {max_slots: 100}", "resources.max_slots", 100),
        ("resources: {resource_pool: ''}", "resources.resource_pool", "default"),
        ("resources: {resource_pool: gpu}", "resources.resource_pool", "gpu"),
        ("resources: {priority: 1}", "resources.priority", 1),
        ("resources: {weight: 0}", "resources.weight", 0),
        ("resources: {weight: 2.5}", "resources.weight", 2.5),
        ("resources: {shm_size: 1024}", "resources.shm_size", 1024),
        ("resources: {shm_size: 1.5 GiB}", "resources.shm_size", "1.5 GiB"),
        (
            "resources: {devices: ['/a:/b:r']}",
            "resources.devices",
            [{"host_path": "/a", "container_path": "/b", "mode": "r"}],
        ),
        ("max_restarts: 0", "max_restarts", 0),
        ("checkpoint_policy: all", "checkpoint_policy", "all"),
        ("min_validation_period: {records: 0}", "min_validation_period", {"records": 0}),
        ("min_validation_period: 0", "min_validation_period", {"batches": 0}),
        ("min_checkpoint_period: 7", "min_checkpoint_period", 7),
        ("scheduling_unit: 1", "scheduling_unit", 1),
        ("records_per_epoch: 10", "records_per_epoch", 10),
        ("perform_initial_validation: on", "perform_initial_validation", True),
        ("reproducibility: {experiment_seed: 0}", "reproducibility.experiment_seed", 0),
        ("data: {a: {b: [1, 1.5, x]}}", "data", {"a": {"b": [1, 1.5, "x"]}}),
        ("environment: {image: i}", "environment.image", "i"),
        ("environment: {image: {cuda: i, gpu: j}}", "environment.image", {"cpu": None, "cuda": "i", "rocm": None}),
        ("slurm: {}", "slurm", {}),
    ],
)
def test_each_field_takes_its_allowed_values(text: str, path: str, expected: Any) -> None:
    found: Any = parse(text).complete
    for key in path.split("."):
        found = found[key]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "path", "part"),
    [
        ("name: 5", "name", "put it in quotes"),
        ("name: ' '", "name", "blank"),
        ("name: 'a\u2028b'", "name", "single line"),
        ('name: "a\\tb"', "name", "single line"),
        (f"name: {'x' * 10_000}", "name", f"at most {MAX_NAME}"),
        (f"description: {'x' * (MAX_TEXT + 1)}", "description", f"at most {MAX_TEXT}"),
        ("labels: x", "labels", "must be a list"),
        ("labels: ['']", "labels.0", "blank"),
        ("labels: [null]", "labels.0", "text, not null"),
        ("workspace: W", "project", "both"),
        ("project: P", "workspace", "both"),
        ("entrypoint: null", "entrypoint", "missing"),
        ("entrypoint: ''", "entrypoint", "blank"),
        ("entrypoint: 5", "entrypoint", "list of texts"),
        ("entrypoint: []", "entrypoint", "empty list"),
        ("entrypoint: [' ', a]", "entrypoint", "blank"),
        ("entrypoint: [a, 1]", "entrypoint.1", "text, not 1"),
        ("hyperparameters: []", "hyperparameters", "a mapping, not an empty list"),
        ("resources: 5", "resources", "a mapping, not 5"),
        ("resources: {slots_per_trial: -1}", "resources.slots_per_trial", "from 0"),
        ("resources: {slots_per_trial: 1.5}", "resources.slots_per_trial", "whole number"),
        ("resources: {slots_per_trial: 1.0}", "resources.slots_per_trial", "write it as 1"),
        ("resources: {slots_per_trial: true}", "resources.slots_per_trial", "not true"),
        ("resources: {max_slots: -1}", "resources.max_slots", "from 0"),
        ("resources: {resource_pool: 5}", "resources.resource_pool", "text"),
        ("resources: {priority: 0}", "resources.priority", "from 1 to 99"),
        ("resources: {priority: 100}", "resources.priority", "from 1 to 99"),
        ("resources: {weight: -1}", "resources.weight", "at least 0"),
        ("resources: {weight: .inf}", "resources.weight", "finite"),
        ("resources: {weight: x}", "resources.weight", "a number, not the text 'x'"),
        ("resources: {shm_size: -1}", "resources.shm_size", "at least 0"),
        ("resources: {shm_size: lots}", "resources.shm_size", "4g"),
        ("resources: {devices: [x]}", "resources.devices.0", "host_path:container_path"),
        ("resources: {devices: [{host_path: /x}]}", "resources.devices.0.container_path", "missing"),
        ("resources: {devices: [{host_path: /x, container_path: /y, m: 1}]}", "resources.devices.0.m", "known"),
        ("resources: {native_parallel: 1}", "resources.native_parallel", "true or false"),
        ("resources: {slots: 1}", "resources.slots", "did you mean max_slots?"),
        ("max_restarts: -1", "max_restarts", "from 0"),
        ("max_restarts: x", "max_restarts", "whole number"),
        ("checkpoint_policy: bset", "checkpoint_policy", "did you mean best?"),
        ("checkpoint_policy: [1]", "checkpoint_policy", "not a list"),
        ("min_validation_period: {batches: -1}", "min_validation_period", "from 0"),
        ("min_checkpoint_period: {batches: 1, epochs: 1}", "min_checkpoint_period", "batches and epochs"),
        ("perform_initial_validation: 'true'", "perform_initial_validation", "remove the quotes"),
        ("scheduling_unit: 0", "scheduling_unit", "from 1"),
        ("records_per_epoch: -1", "records_per_epoch", "at least 0"),
        ("reproducibility: {experiment_seed: -1}", "reproducibility.experiment_seed", "from 0"),
        ("reproducibility: {experiment_seed: 4294967296}", "reproducibility.experiment_seed", "4294967295"),
        ("reproducibility: {seed: 1}", "reproducibility.seed", "known here: experiment_seed"),
        ("data: [1]", "data", "a mapping"),
        ("data: {a: [.nan]}", "data.a.0", "finite"),
        ("data: {a: 9223372036854775808}", "data.a", "64 bits"),
        ("debug: 'no'", "debug", "remove the quotes"),
        ("environment: {environment_variables: [A]}", "environment.environment_variables.0", "NAME=value"),
        ("environment: {environment_variables: ['=x']}", "environment.environment_variables.0", "NAME=value"),
        ("environment: {environment_variables: [5]}", "environment.environment_variables.0", "text, not 5"),
        ("environment: {environment_variables: x}", "environment.environment_variables", "a mapping"),
        ("environment: {environment_variables: {tpu: []}}", "environment.environment_variables.tpu", "mean gpu?"),
        ("environment: {image: 5}", "environment.image", "a mapping"),
        ("environment: {image: {cpx: i}}", "environment.image.cpx", "did you mean cpu?"),
        ("environment: {ports: {a: 0}}", "environment.ports.a", "from 1 to 65535"),
        ("environment: {proxy_ports: [{}]}", "environment.proxy_ports.0.proxy_port", "missing"),
        ("environment: {proxy_ports: [5]}", "environment.proxy_ports.0", "a mapping"),
        ("environment: {registry_auth: {user: x}}", "environment.registry_auth.user", "did you mean username?"),
        ("environment: {add_capabilities: [1]}", "environment.add_capabilities.0", "text"),
        ("environment: {preload: numpy}", "environment.preload", "a list"),
        ("environment: {preload: [5]}", "environment.preload.0", "text"),
        ("environment: {preload: [train.py x]}", "environment.preload.0", "the name of a module"),
        ("environment: {warm_start: maybe}", "environment.warm_start", "true or false"),
        ("environment: {pod_spec: 1}", "environment.pod_spec", "a mapping"),
        ("environment: {imag: x}", "environment.imag", "did you mean image?"),
        ("bind_mounts: {}", "bind_mounts", "a list"),
        ("bind_mounts: [{container_path: /a}]", "bind_mounts.0.host_path", "missing"),
        ("bind_mounts: [{host_path: a, container_path: /a}]", "bind_mounts.0.host_path", "absolute"),
        ("bind_mounts: [{host_path: 5, container_path: /a}]", "bind_mounts.0.host_path", "text"),
        ('bind_mounts: [{host_path: "/a\\n", container_path: /a}]', "bind_mounts.0.host_path", "control"),
        ("bind_mounts: [{host_path: /a}]", "bind_mounts.0.container_path", "missing"),
        (
            "bind_mounts: [{host_path: /a, container_path: /a, propagation: x}]",
            "bind_mounts.0.propagation",
            "rprivate",
        ),
        ("bind_mounts: [{host_path: /a, container_path: /a, ro: true}]", "bind_mounts.0.ro", "known here"),
        ("profiling: {begin_on_batch: 5, end_after_batch: 4}", "profiling.end_after_batch", "begin_on_batch (5)"),
        ("profiling: {enable: true}", "profiling.enable", "did you mean enabled?"),
        ("optimizations: {aggregation_frequency: 0}", "optimizations.aggregation_frequency", "at least 1"),
        ("optimizations: {mixed_precision: O9}", "optimizations.mixed_precision", "O0, O1, O2, O3"),
        ("optimizations: {x: 1}", "optimizations.x", "known here"),
        ("internal: 5", "internal", "a mapping"),
        ("slurm: {sbatch_args: [1]}", "slurm.sbatch_args.0", "text"),
        ("slurm: {pbsbatch_args: []}", "slurm.pbsbatch_args", "did you mean sbatch_args?"),
        ("pbs: {slots_per_node: 0}", "pbs.slots_per_node", "from 1"),
        ("hyperparamters: {}", "hyperparamters", "did you mean hyperparameters?"),
        ("zzz: 1", "zzz", "known here: name,"),
        ('"a\\x1b[31m": 1', "a\\x1b[31m", "known here"),
    ],
)
def test_each_field_refuses_other_values_with_its_path(text: str, path: str, part: str) -> None:
    found = problems(text)
    assert list(found) == [path]
    assert part in found[path]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", (True, None)),
        ("{warm_start: false}", (False, None)),
        ("{preload: [numpy, sklearn.svm]}", (True, ("numpy", "sklearn.svm"))),
        ("{preload: []}", (True, ())),
    ],
)
def test_what_trials_are_forked_with(text: str, expected: tuple[bool, tuple[str, ...] | None]) -> None:
    config = parse(f"environment: {text}")
    assert (config.environment.warm_start, config.environment.preload) == expected
    complete = config.complete["environment"]
    warm_start, preload = expected
    assert (complete["warm_start"], complete["preload"]) == (warm_start, None if preload is None else list(preload))


def test_a_configuration_has_the_last_word_on_warm_start() -> None:
    cold = dataclasses.replace(DEFAULTS, warm_start=False)
    for section, expected in (({}, False), ({"warm_start": None}, False), ({"warm_start": True}, True)):
        config = parse_config({**MINIMAL, "environment": section}, cold)
        assert config.environment.warm_start is expected
        assert config.complete["environment"]["warm_start"] is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[A=1, 'B=x=y']",
            Environment((("A", "1"), ("B", "x=y")), (("A", "1"), ("B", "x=y")), (("A", "1"), ("B", "x=y"))),
        ),
        ("{cpu: [A=1], gpu: [B=2]}", Environment((("A", "1"),), (("B", "2"),), ())),
        ("{cuda: [A=1], gpu: [B=2], rocm: ['C=']}", Environment((), (("A", "1"),), (("C", ""),))),
    ],
)
def test_environment_variables_are_a_list_or_a_list_per_device(text: str, expected: Environment) -> None:
    config = parse(f"environment: {{environment_variables: {text}}}")
    assert config.environment == expected
    assert config.environment_variables == expected.cpu


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("bind_mounts: [{host_path: /a, container_path: /b}]", "bind_mounts.0: trials run without containers"),
        ("environment: {environment_variables: [DET_X=1]}", "DET_X has no effect"),
        ("resources: {slots_per_trial: 4, max_slots: 2}", "resources.max_slots: 2 is less than"),
        ("entrypoint: m:T", "searcher.unit: has no unit"),
        (
            "entrypoint: m:T\nsearcher: {name: single, metric: x, max_length: 5}",
            "searcher.max_length: has no unit",
        ),
        (
            "entrypoint: m:T\nsearcher: {name: single, metric: x, max_length: {epochs: 1}}",
            "records_per_epoch: is 0",
        ),
        (
            "entrypoint: m:T\nmin_validation_period: 5\nsearcher: {name: custom, metric: x, unit: batches}",
            "min_validation_period: has no unit",
        ),
        ("searcher: {name: custom, metric: x, max_trials: 5}", "searcher.max_trials: has no effect"),
    ],
)
def test_what_is_allowed_but_probably_not_meant_is_a_warning(text: str, part: str) -> None:
    [warning] = set(parse(text).warnings)
    assert part in warning


@pytest.mark.parametrize(
    "text",
    [
        "bind_mounts: [{host_path: /a/, container_path: /a}]",
        "entrypoint: m:T\nsearcher: {name: single, metric: x, max_length: {batches: 5}}",
        "entrypoint: m:T\nsearcher: {name: single, metric: x, max_length: {epochs: 5}}\nrecords_per_epoch: 2",
        "entrypoint: [a]",
        "resources: {slots_per_trial: 2, max_slots: 2}",
    ],
)
def test_what_makes_sense_gives_no_warning(text: str) -> None:
    assert parse(text).warnings == ()


def test_warnings_are_bounded() -> None:
    many = ", ".join(f"DET_{index}=1" for index in range(500))
    assert len(parse(f"environment: {{environment_variables: [{many}]}}").warnings) == 100


@pytest.mark.parametrize(
    ("entrypoint", "expected"),
    [("model_def:MyTrial", True), ("a.b:C", True), ("python3 a:b", False), ("a:b:c", False), ("['a:b']", False)],
)
def test_a_module_and_class_is_a_legacy_trial(entrypoint: str, expected: bool) -> None:
    assert parse(f"entrypoint: {entrypoint}").is_legacy_trial is expected


def test_a_secret_is_never_shown_in_a_problem() -> None:
    found = problems("environment: {registry_auth: {password: 12345}}")
    assert "12345" not in str(found)
    assert "put it in quotes" in found["environment.registry_auth.password"]


def test_a_number_that_cannot_be_printed_is_described() -> None:
    with pytest.raises(InvalidConfig, match="not a number of 16610 bits"):
        parse_config({**MINIMAL, "max_restarts": 10**5000}, DEFAULTS)


def test_ten_kinds_of_mistakes_are_reported_at_once_with_path_and_line() -> None:
    text = """
nam: x
entrypoint: 3
entrypoint: 4
labels: [1]
searcher:
  name: singel
  smaller_is_better: "false"
  metrc: loss
max_restarts: -1
resources: {priority: 100}
checkpoint_storage:
  type: shared_fs
  host_path: relative
hyperparameters:
  a:
    type: int
    minval: 5
    maxval: 1
  b: .nan
  c: !!str 5
  d: {type: categorical, vals: []}
workspace: only
"""
    with pytest.raises(InvalidConfig) as caught:
        parse_config(text, DEFAULTS)
    assert [(problem.line, problem.path) for problem in caught.value.problems] == [
        (None, "project"),
        (2, "nam"),
        (3, "entrypoint"),
        (4, "entrypoint"),
        (5, "labels.0"),
        (6, "searcher.metric"),
        (7, "searcher.name"),
        (8, "searcher.smaller_is_better"),
        (9, "searcher.metrc"),
        (10, "max_restarts"),
        (11, "resources.priority"),
        (14, "checkpoint_storage.host_path"),
        (18, "hyperparameters.a.minval"),
        (20, "hyperparameters.b"),
        (21, "hyperparameters.c"),
        (22, "hyperparameters.d.vals"),
    ]


def test_the_list_of_problems_is_bounded_and_says_so() -> None:
    with pytest.raises(InvalidConfig) as caught:
        parse_config({**MINIMAL, **{f"k{index}": 1 for index in range(150)}}, DEFAULTS)
    assert len(caught.value.problems) == 101
    assert caught.value.problems[-1] == Problem("", "has 50 more problems; they show once these are solved")
