"""Experiments, trials and checkpoints as Python objects; ``determined.experimental.client`` is the way in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import determined.experimental.client as client
    from determined.experimental.api import Determined
    from determined.experimental.checkpoint import Checkpoint
    from determined.experimental.experiment import Experiment, ExperimentReference
    from determined.experimental.trial import Trial, TrialOrderBy, TrialReference, TrialSortBy

_HOMES = {
    "Checkpoint": "checkpoint",
    "Determined": "api",
    "Experiment": "experiment",
    "ExperimentReference": "experiment",
    "Trial": "trial",
    "TrialOrderBy": "trial",
    "TrialReference": "trial",
    "TrialSortBy": "trial",
}

__all__ = [
    "Checkpoint",
    "Determined",
    "Experiment",
    "ExperimentReference",
    "Trial",
    "TrialOrderBy",
    "TrialReference",
    "TrialSortBy",
    "client",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name == "client":
        return importlib.import_module("determined.experimental.client")
    if name in _HOMES:
        return getattr(importlib.import_module(f"determined.experimental.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'determined.experimental' has no attribute {name!r}")
