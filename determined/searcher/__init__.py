"""Write a search method and run it: the contract, the operations, and the runners."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from determined.domain.events import ExitedReason
from determined.domain.operations import Close, Create, Operation, Progress, Shutdown, ValidateAfter
from determined.domain.reasons import Reason
from determined.domain.search_method import SearcherState
from determined.searcher.local import LocalSearchRunner
from determined.searcher.method import SearchMethod
from determined.searcher.remote import RemoteSearchRunner
from determined.searcher.runner import SearchRunner

if TYPE_CHECKING:
    from determined.domain.hparams import Space
    from determined.domain.space import as_space, choice, lograndint, loguniform, randint, uniform
    from determined.methods.adaptive_asha import AdaptiveASHASearch
    from determined.methods.async_halving import AsyncHalvingSearch
    from determined.methods.grid import GridSearch
    from determined.methods.hyperband import HyperbandSearch
    from determined.methods.optuna import OptunaSearch
    from determined.methods.pbt import PBTSearch
    from determined.methods.random import RandomSearch
    from determined.methods.single import SingleSearch
    from determined.simulator import (
        Curve,
        Failure,
        Limits,
        SimulatedTrial,
        SimulationResult,
        Stalled,
        Table,
        TrialModel,
        simulate,
    )

__all__ = [
    "AdaptiveASHASearch",
    "AsyncHalvingSearch",
    "Close",
    "Create",
    "Curve",
    "ExitedReason",
    "Failure",
    "GridSearch",
    "HyperbandSearch",
    "Limits",
    "LocalSearchRunner",
    "Operation",
    "OptunaSearch",
    "PBTSearch",
    "Progress",
    "RandomSearch",
    "Reason",
    "RemoteSearchRunner",
    "SearchMethod",
    "SearchRunner",
    "SearcherState",
    "Shutdown",
    "SimulatedTrial",
    "SimulationResult",
    "SingleSearch",
    "Space",
    "Stalled",
    "Table",
    "TrialModel",
    "ValidateAfter",
    "as_space",
    "choice",
    "lograndint",
    "loguniform",
    "randint",
    "simulate",
    "uniform",
]

_HOMES = {
    "determined.domain.hparams": ("Space",),
    "determined.domain.space": ("as_space", "choice", "lograndint", "loguniform", "randint", "uniform"),
    "determined.methods.adaptive_asha": ("AdaptiveASHASearch",),
    "determined.methods.async_halving": ("AsyncHalvingSearch",),
    "determined.methods.grid": ("GridSearch",),
    "determined.methods.hyperband": ("HyperbandSearch",),
    "determined.methods.optuna": ("OptunaSearch",),
    "determined.methods.pbt": ("PBTSearch",),
    "determined.methods.random": ("RandomSearch",),
    "determined.methods.single": ("SingleSearch",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    # Methods and the simulator are loaded when they are first used: most search runners do without them.
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    if name in __all__:
        from determined import simulator

        return getattr(simulator, name)
    raise AttributeError(f"module 'determined.searcher' has no attribute {name!r}")
