"""From the text of an experiment configuration to checked values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from determined.domain.config.bounds import MAX_INT32
from determined.domain.config.document import read_document
from determined.domain.config.fields import Fields
from determined.domain.config.node import Node
from determined.domain.config.read_environment import read_bind_mounts, read_environment
from determined.domain.config.read_hparams import check_grid, read_space
from determined.domain.config.read_legacy import read_legacy
from determined.domain.config.read_resources import read_resources
from determined.domain.config.read_searcher import read_searcher
from determined.domain.config.read_storage import read_storage
from determined.domain.config.report import Report
from determined.domain.config.searcher import GridSearch, SearcherConfig
from determined.domain.config.values import ConfigDefaults, Entrypoint, ExperimentConfig, is_legacy_entrypoint
from determined.domain.lengths import Unit

MAX_SEED = 2**32 - 1
_NO_UNIT = "has no unit, but trial classes need one, batches, records or epochs"


def parse_config(source: str | bytes | Mapping[str, Any], defaults: ConfigDefaults) -> ExperimentConfig:
    """Read, complete and check an experiment configuration.

    Args:
        source: YAML 1.1 text (bytes are UTF-8), or a mapping built in Python. A null anywhere means "not given".
        defaults: what is not given and only the caller knows.

    Raises:
        InvalidConfig: with every problem found, each with its path, and its line in a text.
    """
    document = read_document(source)
    report = Report(document)
    config = _read(Fields(Node(document.data, (), report)), defaults)
    report.raise_if_any()
    return config


def _read(root: Fields, defaults: ConfigDefaults) -> ExperimentConfig:
    name = root.name("name", defaults.name)
    description = root.text("description", None)
    labels = _labels(root.find("labels"))
    workspace, project = _project(root)
    entrypoint = _entrypoint(root)
    hyperparameters = read_space(root.fields("hyperparameters"))
    searcher = read_searcher(root)
    resources, complete_resources = read_resources(root, defaults.resource_pool)
    max_restarts = root.integer("max_restarts", 5, least=0, most=MAX_INT32)
    storage = read_storage(root, defaults.checkpoint_storage)
    seed = _seed(root.fields("reproducibility"), defaults.seed)
    data = root.free("data")
    debug = root.boolean("debug", False)
    environment, complete_environment = read_environment(root, defaults.warm_start)
    complete = {
        "name": name,
        "description": description,
        "labels": list(labels),
        "workspace": workspace,
        "project": project,
        "entrypoint": entrypoint if isinstance(entrypoint, str) else list(entrypoint),
        "hyperparameters": hyperparameters.to_json(),
        "searcher": searcher.to_json(),
        "resources": complete_resources,
        "max_restarts": max_restarts,
        "checkpoint_storage": storage.to_json(),
        "reproducibility": {"experiment_seed": seed},
        "data": data,
        "debug": debug,
        "environment": complete_environment,
        "bind_mounts": read_bind_mounts(root),
        **read_legacy(root),
    }
    if isinstance(searcher.method, GridSearch):
        check_grid(hyperparameters, root.report, ("hyperparameters",))
    _warn_of_units(root, entrypoint, searcher, complete)
    root.done()
    return ExperimentConfig(
        name=name,
        entrypoint=entrypoint,
        searcher=searcher,
        hyperparameters=hyperparameters,
        resources=resources,
        checkpoint_storage=storage,
        seed=seed,
        description=description,
        labels=labels,
        workspace=workspace,
        project=project,
        max_restarts=max_restarts,
        environment=environment,
        data=data,
        debug=debug,
        complete=complete,
        warnings=tuple(root.report.warnings),
    )


def _labels(node: Node | None) -> tuple[str, ...]:
    """Labels from a list, or from the keys of a mapping (the form of a set); repeated ones count once."""
    if node is None:
        return ()
    if isinstance(node.value, dict):
        node = Node(list(node.value), node.path, node.report)
    return tuple(dict.fromkeys(node.names()))


def _project(root: Fields) -> tuple[str, str]:
    workspace, project = root.name("workspace", ""), root.name("project", "")
    if bool(workspace) != bool(project):
        missing = "project" if workspace else "workspace"
        root.refuse(missing, "is missing; give both workspace and project, or neither")
    return workspace, project


def _entrypoint(root: Fields) -> Entrypoint:
    node = root.find("entrypoint", needed="give the command that trains, e.g. python3 train.py")
    if node is None:
        return ""
    if isinstance(node.value, str):
        return node.text() or ""
    if not isinstance(node.value, list):
        node.must_be("a command as text or as a list of texts")
        return ""
    arguments = node.texts()
    if not node.value:
        node.refuse("is an empty list; give the program and its arguments")
    elif isinstance(node.value[0], str) and not node.value[0].strip():
        node.refuse("starts with a blank text; give the program first")
    return arguments


def _seed(fields: Fields, default: int) -> int:
    seed = fields.integer("experiment_seed", default, least=0, most=MAX_SEED)
    fields.done()
    return seed


def _warn_of_units(root: Fields, entrypoint: Entrypoint, searcher: SearcherConfig, complete: Mapping[str, Any]) -> None:
    """Point out lengths that a legacy trial class cannot convert to batches."""
    if not (isinstance(entrypoint, str) and is_legacy_entrypoint(entrypoint)):
        return
    if searcher.unit is None:
        place = "max_length" if searcher.max_length else "unit"
        root.report.warn(("searcher", place), _NO_UNIT)
    for name in ("min_checkpoint_period", "min_validation_period"):
        if isinstance(complete[name], int):
            root.report.warn((name,), _NO_UNIT)
    if searcher.unit is Unit.EPOCHS and complete["records_per_epoch"] == 0:
        root.report.warn(("records_per_epoch",), "is 0, but some trial classes need it to train for epochs")
