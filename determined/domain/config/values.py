"""The experiment configuration as values: what the rest of the system reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from determined.domain.config.searcher import SearcherConfig
from determined.domain.config.storage import CheckpointStorage
from determined.domain.hparams import Space

Entrypoint = str | tuple[str, ...]
Variables = tuple[tuple[str, str], ...]
"""Environment variables in order; a later one of the same name wins."""

_LEGACY = re.compile(r"[a-zA-Z0-9_.]+:[a-zA-Z0-9_]+")


@dataclass(frozen=True, slots=True)
class ConfigDefaults:
    """What the one who submits leaves out and only the caller knows.

    Attributes:
        checkpoint_storage: the master's default section.
        name: a generated name, e.g. ``Experiment (a-b-c)``.
        seed: seed of the experiment, 0 .. 2**32 - 1; usually the time of creation in seconds.
        resource_pool: name of the default pool.
        warm_start: whether trials start warm.
    """

    checkpoint_storage: Mapping[str, Any] = field(repr=False)
    name: str
    seed: int
    resource_pool: str = "default"
    warm_start: bool = True


@dataclass(frozen=True, slots=True)
class Resources:
    """What each trial gets, and the experiment as a whole.

    Attributes:
        slots_per_trial: 0 runs without a slot.
        max_slots: most slots of the experiment at once; None for no limit.
        priority: 1 (first) .. 99; None for the default.
        weight: how many slots it gets, compared with others of the same priority; 0 for what they leave.
    """

    slots_per_trial: int = 1
    max_slots: int | None = None
    priority: int | None = None
    weight: float = 1
    resource_pool: str = "default"


@dataclass(frozen=True, slots=True)
class Environment:
    """What trials find: environment variables by the kind of device they run on, and loaded modules.

    Attributes:
        warm_start: Python programs are forked from a process that has their modules loaded.
        preload: these modules; None for those that the program imports at its top level.
    """

    cpu: Variables = ()
    cuda: Variables = ()
    rocm: Variables = ()
    warm_start: bool = True
    preload: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ExperimentConfig:
    """A checked experiment configuration with all defaults filled in.

    Attributes:
        entrypoint: a shell command, a command as a list, or ``module:Class`` of a legacy trial.
        workspace, project: both set or both empty.
        seed: seed of the search and of the trials.
        data: free content for the training script; not to be changed.
        complete: the whole configuration as JSON-able data in the form that clients read; not to be changed.
        warnings: what is allowed but probably not meant, one sentence each.
    """

    name: str
    entrypoint: Entrypoint
    searcher: SearcherConfig
    hyperparameters: Space
    resources: Resources
    checkpoint_storage: CheckpointStorage
    seed: int
    description: str | None = None
    labels: tuple[str, ...] = ()
    workspace: str = ""
    project: str = ""
    max_restarts: int = 5
    environment: Environment = Environment()
    data: Mapping[str, Any] = field(default_factory=dict)
    debug: bool = False
    complete: Mapping[str, Any] = field(default_factory=dict, repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def environment_variables(self) -> Variables:
        """The variables of trials that run on the CPU; ``environment`` has those of the other devices."""
        return self.environment.cpu

    @property
    def is_legacy_trial(self) -> bool:
        """Whether the entrypoint names a trial class, which a harness must run."""
        return isinstance(self.entrypoint, str) and is_legacy_entrypoint(self.entrypoint)


def is_legacy_entrypoint(entrypoint: str) -> bool:
    """Whether a command is no command but ``module:Class``."""
    return _LEGACY.fullmatch(entrypoint) is not None
