"""What a store says when a unit cannot be applied: the same words, whatever is behind it."""

from __future__ import annotations

from typing import Any

from determined.errors import Conflict, NotFound, StorageFailed
from determined.storage import protocol as p


def describe(mutation: Any) -> str:
    """What a mutation wanted, in a few words for a message."""
    match mutation:
        case p.PutUser():
            return f"store user {mutation.user.id} under the name {mutation.user.username!r}"
        case p.InsertExperiment():
            return f"insert experiment {mutation.experiment.id}"
        case p.InsertTrial():
            return f"insert trial {mutation.trial.id} of experiment {mutation.trial.experiment_id}"
        case p.AppendJournal():
            return f"append row {mutation.row.seq} to the journal of experiment {mutation.row.experiment_id}"
        case p.AppendEvent():
            return f"append event {mutation.row.id} to the queue of experiment {mutation.row.experiment_id}"
        case p.PutMetrics():
            return f"store a {mutation.metrics.group} report of trial {mutation.metrics.trial_id}"
        case p.PutCheckpoint():
            return f"store checkpoint {mutation.checkpoint.uuid} of trial {mutation.checkpoint.trial_id}"
        case p.SetCheckpointState() | p.SetCheckpointMetadata():
            return f"change checkpoint {mutation.uuid}"
        case p.PutRun():
            return f"store run {mutation.run.allocation_id} of trial {mutation.run.trial_id}"
        case p.AppendLogs():
            return f"append {len(mutation.records)} log lines of run {mutation.allocation_id!r}"
        case p.UpdateTrial() | p.UpdateTrialUnits() | p.UpdateRunnerState():
            return f"change trial {mutation.id}"
        case p.UpdateExperiment() | p.PatchExperiment():
            return f"change experiment {mutation.id}"
        case p.DeleteExperiment():
            return f"delete experiment {mutation.id}"
        case p.PutState() | p.DropState() | p.PutBatch():
            return f"store what the search of experiment {mutation.experiment_id} needs"
    return f"apply {type(mutation).__name__}"


def conflict(mutation: Any) -> Conflict:
    """It exists already."""
    return Conflict(f"cannot {describe(mutation)}: it exists already; nothing was stored")


def missing(mutation: Any) -> NotFound:
    """What it changes, or belongs to, is not there."""
    return NotFound(f"cannot {describe(mutation)}: it, or what it belongs to, does not exist; nothing was stored")


def lane_closed(lane: int) -> StorageFailed:
    """An earlier unit of the lane failed."""
    return StorageFailed(f"an earlier change of experiment {lane} could not be stored, so this one was not tried")


def store_closed() -> StorageFailed:
    """Nobody is there to store it."""
    return StorageFailed("the store is not open; nothing was stored")


def in_one_line(error: object) -> str:
    """What a driver says, without the line breaks that it puts into it and without SQL."""
    return " ".join(str(getattr(error, "orig", None) or error).split())
