"""Write a search method and run it: the contract, the operations, and the runners."""

from __future__ import annotations

from determined.domain.events import ExitedReason
from determined.domain.operations import Close, Create, Operation, Progress, Shutdown, ValidateAfter
from determined.domain.reasons import Reason
from determined.domain.search_method import SearcherState
from determined.searcher.local import LocalSearchRunner
from determined.searcher.method import SearchMethod
from determined.searcher.remote import RemoteSearchRunner
from determined.searcher.runner import SearchRunner

__all__ = [
    "Close",
    "Create",
    "ExitedReason",
    "LocalSearchRunner",
    "Operation",
    "Progress",
    "Reason",
    "RemoteSearchRunner",
    "SearchMethod",
    "SearchRunner",
    "SearcherState",
    "Shutdown",
    "ValidateAfter",
]
