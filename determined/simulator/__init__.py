"""Searches on a virtual clock: the real engine and real search methods, with trials that are only computed."""

from __future__ import annotations

from determined.simulator.curves import Curve, NotRecorded, Table
from determined.simulator.model import Failure, FailureKind, Limits, TrialModel
from determined.simulator.result import Best, Decision, SimulatedTrial, SimulationResult, Stalled
from determined.simulator.run import simulate

__all__ = [
    "Best",
    "Curve",
    "Decision",
    "Failure",
    "FailureKind",
    "Limits",
    "NotRecorded",
    "SimulatedTrial",
    "SimulationResult",
    "Stalled",
    "Table",
    "TrialModel",
    "simulate",
]
