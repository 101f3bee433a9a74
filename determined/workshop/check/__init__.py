"""Finds faults in search methods: plays worlds against them, reloads them at every event, and tells what went wrong."""

from __future__ import annotations

from determined.workshop.check.api import check_cost, check_search_method, replay_story
from determined.workshop.check.findings import CheckFailed, CheckReport, Finding, Kind, Step

__all__ = [
    "CheckFailed",
    "CheckReport",
    "Finding",
    "Kind",
    "Step",
    "check_cost",
    "check_search_method",
    "replay_story",
]
