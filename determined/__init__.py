"""Hyperparameter search for people who write their own search algorithms.

Nothing is imported before it is used: a training process, the command line and the small process that watches
over a trial all import this package first, and each pays only for what it touches.
"""

from __future__ import annotations

from determined._version import __version__

# Type checkers take this name as true; importing typing for it would take as long as starting the interpreter.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from determined import core, errors, experimental, searcher, util
    from determined._info import ClusterInfo, RendezvousInfo, ResourcesInfo, TrialInfo, get_cluster_info
    from determined.errors import InvalidHP
    from determined.util import ExperimentConfig, import_from_path

LOG_FORMAT = "%(levelname)s: [%(process)s] %(name)s: %(message)s"
"""The format for ``logging`` in a trial: its first word is read back as the level of the line."""

_MODULES = frozenset({"core", "errors", "experimental", "searcher", "util"})
_HOMES = {
    "ClusterInfo": "determined._info",
    "ExperimentConfig": "determined.util",
    "InvalidHP": "determined.errors",
    "RendezvousInfo": "determined._info",
    "ResourcesInfo": "determined._info",
    "TrialInfo": "determined._info",
    "get_cluster_info": "determined._info",
    "import_from_path": "determined.util",
}

__all__ = [
    "LOG_FORMAT",
    "ClusterInfo",
    "ExperimentConfig",
    "InvalidHP",
    "RendezvousInfo",
    "ResourcesInfo",
    "TrialInfo",
    "__version__",
    "core",
    "errors",
    "experimental",
    "get_cluster_info",
    "import_from_path",
    "searcher",
    "util",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name in _MODULES:
        return importlib.import_module(f"determined.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'determined' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
