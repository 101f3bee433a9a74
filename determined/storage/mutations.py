"""What is written: each mutation is a value, and changes one kind of row.

The mutations of a unit are applied in order, so a row comes after the experiment, trial or run that it belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from determined.domain.ids import ExperimentId, RunId, TrialId
from determined.domain.records import (
    Checkpoint,
    EventRow,
    Experiment,
    JournalRow,
    LogRecord,
    Metrics,
    Run,
    Token,
    Trial,
    User,
)
from determined.domain.states import CheckpointState, ExperimentState, RunPhase, TrialState


class _Mutation(msgspec.Struct, frozen=True):
    pass


class PutUser(_Mutation, frozen=True):
    """Insert or replace a user (by id). Raises ``Conflict`` when the name belongs to another id."""

    user: User


class PutToken(_Mutation, frozen=True):
    """Insert a login."""

    token: Token


class DropToken(_Mutation, frozen=True):
    """Remove a login; no matter whether it exists."""

    digest: str


class InsertExperiment(_Mutation, frozen=True):
    """A new experiment. Raises ``Conflict`` when (owner, client_key) exists with a non-empty key."""

    experiment: Experiment


class UpdateExperiment(_Mutation, frozen=True):
    """What the engine decides about an experiment; always the same columns."""

    id: ExperimentId
    state: ExperimentState
    progress: float | None
    ended_at: float | None
    message: str


class PatchExperiment(_Mutation, frozen=True):
    """What people edit: any of name, description, labels, notes, archived, config, epoch, state (deletion)."""

    id: ExperimentId
    changes: Mapping[str, Any]


class DeleteExperiment(_Mutation, frozen=True):
    """Remove the experiment and every row that belongs to it."""

    id: ExperimentId


class InsertTrial(_Mutation, frozen=True):
    """A new trial; counts in its experiment's ``num_trials``."""

    trial: Trial


class UpdateTrial(_Mutation, frozen=True):
    """What the engine decides about a trial; always the same columns."""

    id: TrialId
    state: TrialState
    run_id: RunId
    phase: RunPhase | None
    restarts: int
    closed: bool
    ended_at: float | None


class UpdateTrialUnits(_Mutation, frozen=True):
    """A progress report."""

    id: TrialId
    units: float


class UpdateRunnerState(_Mutation, frozen=True):
    """What the training script says it is doing."""

    id: TrialId
    runner_state: str


class PutRun(_Mutation, frozen=True):
    """Insert or replace a run, keeping the stored ``lines``."""

    run: Run


class PutMetrics(_Mutation, frozen=True):
    """Store a report, replacing one of the same (trial, run, group, steps).

    When reports of older runs reach as far (steps >= these in the same group, > in the others), those are archived. The
    trial's and the experiment's summaries (total batches, best, latest) follow, recomputed after archiving.
    """

    metrics: Metrics
    smaller_is_better: bool


class PutCheckpoint(_Mutation, frozen=True):
    """Store a checkpoint, replacing one of the same uuid; counts and sizes of trial and experiment follow."""

    checkpoint: Checkpoint


class SetCheckpointState(_Mutation, frozen=True):
    """Mark a checkpoint, e.g. DELETED; counts and sizes follow."""

    uuid: str
    state: CheckpointState


class SetCheckpointMetadata(_Mutation, frozen=True):
    """Replace a checkpoint's metadata (JSON text of an object)."""

    uuid: str
    metadata: str


class AppendLogs(_Mutation, frozen=True):
    """Append lines to a trial's log; ``lines_known`` becomes the run's count of delivered lines (None: not counted)."""

    records: tuple[LogRecord, ...]
    allocation_id: str = ""
    lines_known: int | None = None


class AppendJournal(_Mutation, frozen=True):
    """One fact. Raises ``Conflict`` when the sequence number exists."""

    row: JournalRow


class AppendEvent(_Mutation, frozen=True):
    """One event of the queue."""

    row: EventRow


class PutBatch(_Mutation, frozen=True):
    """Remember what was posted in answer to an event, to tell a replay from a divergence."""

    experiment_id: ExperimentId
    trigger: int
    digest: str


class PutState(_Mutation, frozen=True):
    """A part of the engine's snapshot: "experiment", "method", or a trial id as text."""

    experiment_id: ExperimentId
    part: str
    seq: int
    body: bytes


class DropState(_Mutation, frozen=True):
    """A part of the snapshot that is not needed any more."""

    experiment_id: ExperimentId
    part: str


Mutation = (
    PutUser
    | PutToken
    | DropToken
    | InsertExperiment
    | UpdateExperiment
    | PatchExperiment
    | DeleteExperiment
    | InsertTrial
    | UpdateTrial
    | UpdateTrialUnits
    | UpdateRunnerState
    | PutRun
    | PutMetrics
    | PutCheckpoint
    | SetCheckpointState
    | SetCheckpointMetadata
    | AppendLogs
    | AppendJournal
    | AppendEvent
    | PutBatch
    | PutState
    | DropState
)
