"""What the engine hears: one type per kind of fact, each a row of the journal.

Facts carry everything that deciding needs, their time included, because the engine has no clock and asks nobody.
``KINDS`` names each type in the journal; names never change meaning, so old journals stay readable.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import msgspec

from determined.domain.ids import RunId, TrialId
from determined.domain.operations import Operation


class Verb(str, enum.Enum):
    """What a user may ask of an experiment."""

    PAUSE = "pause"
    ACTIVATE = "activate"
    CANCEL = "cancel"
    KILL = "kill"


class DeadlineKind(str, enum.Enum):
    """Why the engine asked to be woken later."""

    PREEMPTION = "preemption"
    """A preempted run did not exit in time."""
    EARLY_EXIT = "early_exit"
    """A run that reported an early exit did not exit in time."""


class _Fact(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    at: float
    """Seconds since the epoch."""


class ExperimentCreated(_Fact, frozen=True, kw_only=True):
    """The experiment exists; the first fact of every journal."""

    active: bool


class OperationsPosted(_Fact, frozen=True, kw_only=True):
    """The search method answered.

    ``trigger`` is the newest event that the answer covers, None for operations that no event caused.
    ``first_trial_id`` is the id for the first Create; the following ones count up from it.
    """

    operations: tuple[Operation, ...]
    trigger: int | None
    first_trial_id: TrialId
    digest: str = ""


class ExperimentCommanded(_Fact, frozen=True, kw_only=True):
    """A user asked for a change of state."""

    verb: Verb


class MethodFailed(_Fact, frozen=True, kw_only=True):
    """The hosted search method raised; the search cannot go on."""

    message: str


class TrialKillRequested(_Fact, frozen=True, kw_only=True):
    """A user asked for the end of one trial."""

    trial_id: TrialId


class TrialCancelRequested(_Fact, frozen=True, kw_only=True):
    """A user asked one trial to save and leave, for good."""

    trial_id: TrialId


class SlotsGranted(_Fact, frozen=True, kw_only=True):
    """A queued run got its slots: the intent to start it."""

    trial_id: TrialId
    run_id: RunId
    slot_ids: tuple[int, ...]
    agent: str


class RunSeen(_Fact, frozen=True, kw_only=True):
    """The run's process is alive."""

    trial_id: TrialId
    run_id: RunId


class RunExited(_Fact, frozen=True, kw_only=True):
    """The run's last process is gone. ``code`` is None when nobody saw how (a failure of the system)."""

    trial_id: TrialId
    run_id: RunId
    code: int | None
    reason: str = ""


class ProgressReported(_Fact, frozen=True, kw_only=True):
    """The trial has come this far, in the experiment's unit.

    ``report`` names the report, so that one that is sent again is told from a new one; "" for clients that give none.
    """

    trial_id: TrialId
    run_id: RunId
    units: float
    report: str = ""


class OperationCompleted(_Fact, frozen=True, kw_only=True):
    """The trial trained to ``length`` and validated."""

    trial_id: TrialId
    run_id: RunId
    length: int
    metric: Any


class EarlyExitReported(_Fact, frozen=True, kw_only=True):
    """The trial said that its hyperparameters cannot be trained; it is about to exit."""

    trial_id: TrialId
    run_id: RunId


class ExitAcknowledged(_Fact, frozen=True, kw_only=True):
    """The run said that it will exit although work may be left."""

    trial_id: TrialId
    run_id: RunId


class PreemptionRequested(_Fact, frozen=True, kw_only=True):
    """The platform is about to take the run's slots.

    ``for_priority``: it is not, but a more important run waits for them. Whether the run leaves is its own affair.
    """

    trial_id: TrialId
    run_id: RunId
    for_priority: bool = False


class MetricsReported(_Fact, frozen=True, kw_only=True):
    """A training or validation report; the values are in the metrics table."""

    trial_id: TrialId
    run_id: RunId
    group: str
    steps: int


class CheckpointReported(_Fact, frozen=True, kw_only=True):
    """A checkpoint is complete in storage and registered."""

    trial_id: TrialId
    run_id: RunId
    uuid: str
    steps: int


class DeadlinePassed(_Fact, frozen=True, kw_only=True):
    """The time that the engine asked for has come."""

    trial_id: TrialId
    run_id: RunId
    kind: DeadlineKind


Fact = (
    ExperimentCreated
    | OperationsPosted
    | ExperimentCommanded
    | MethodFailed
    | TrialKillRequested
    | TrialCancelRequested
    | SlotsGranted
    | RunSeen
    | RunExited
    | ProgressReported
    | OperationCompleted
    | EarlyExitReported
    | ExitAcknowledged
    | PreemptionRequested
    | MetricsReported
    | CheckpointReported
    | DeadlinePassed
)

KINDS: Mapping[str, type[Fact]] = {
    "experiment_created": ExperimentCreated,
    "operations_posted": OperationsPosted,
    "experiment_commanded": ExperimentCommanded,
    "method_failed": MethodFailed,
    "trial_kill_requested": TrialKillRequested,
    "trial_cancel_requested": TrialCancelRequested,
    "slots_granted": SlotsGranted,
    "run_seen": RunSeen,
    "run_exited": RunExited,
    "progress_reported": ProgressReported,
    "operation_completed": OperationCompleted,
    "early_exit_reported": EarlyExitReported,
    "exit_acknowledged": ExitAcknowledged,
    "preemption_requested": PreemptionRequested,
    "metrics_reported": MetricsReported,
    "checkpoint_reported": CheckpointReported,
    "deadline_passed": DeadlinePassed,
}
KIND_OF: Mapping[type[Fact], str] = {cls: kind for kind, cls in KINDS.items()}
