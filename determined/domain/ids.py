"""Identities, as distinct types so that a trial id cannot be passed for an experiment id."""

from __future__ import annotations

import uuid
from typing import NewType

ExperimentId = NewType("ExperimentId", int)
TrialId = NewType("TrialId", int)
RunId = NewType("RunId", int)
EventId = NewType("EventId", int)
UserId = NewType("UserId", int)
CheckpointId = NewType("CheckpointId", str)

RequestId = uuid.UUID
"""Chosen by the search method when it asks for a trial."""


def task_id(experiment_id: ExperimentId, request_id: RequestId) -> str:
    """Name of a trial's task, the same across its runs: ``<experiment>.<request id>``."""
    return f"{experiment_id}.{request_id}"


def allocation_id(experiment_id: ExperimentId, request_id: RequestId, run_id: RunId) -> str:
    """Name of one run of a trial: ``<task id>.<run id>``."""
    return f"{experiment_id}.{request_id}.{run_id}"


def member_id(allocation: str, number: int, members: int) -> str:
    """Name of one member of a run, by which it calls at the rendezvous; one that is alone is the run itself.

    Args:
        number: from 0, that of the chief.
        members: how many there are.
    """
    return allocation if members == 1 else f"{allocation}.{number}"
