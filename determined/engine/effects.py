"""What the engine wants done: durable rows first, then actions on the world, each idempotent by its ids."""

from __future__ import annotations

import msgspec

from determined.domain.events import SearcherEvent
from determined.domain.facts import DeadlineKind
from determined.domain.ids import RequestId, RunId, TrialId
from determined.domain.states import ExperimentState, RunPhase, TrialState


class _Effect(msgspec.Struct, frozen=True, gc=False):
    pass


class ExperimentChanged(_Effect, frozen=True):
    """State, progress, end or message of the experiment differ from before."""


class TrialAdded(_Effect, frozen=True):
    """A trial row comes into being. ``hparams`` is JSON text; ``warm_start`` a checkpoint's uuid."""

    trial_id: TrialId
    request_id: RequestId
    hparams: str
    warm_start: str | None
    state: TrialState


class TrialChanged(_Effect, frozen=True):
    """State, run, restarts or closedness of a trial differ from before; these are the new values."""

    trial_id: TrialId
    state: TrialState
    run_id: RunId
    phase: RunPhase | None
    restarts: int
    closed: bool


class TrialAdvanced(_Effect, frozen=True):
    """A trial reported how far it has come."""

    trial_id: TrialId
    units: float


class EventEnqueued(_Effect, frozen=True):
    """The search method is to hear this; it becomes visible with the commit."""

    event_id: int
    event: SearcherEvent


class EventsAcknowledged(_Effect, frozen=True):
    """Events up to ``event_id`` are answered and leave the queue."""

    event_id: int


class OperationChanged(_Effect, frozen=True):
    """Whoever waits for the trial's next operation should look again."""

    trial_id: TrialId


class SlotsWanted(_Effect, frozen=True):
    """A run waits for slots."""

    trial_id: TrialId
    run_id: RunId
    slots: int


class SlotsWithdrawn(_Effect, frozen=True):
    """A waiting run is not wanted any more."""

    trial_id: TrialId
    run_id: RunId


class RunStart(_Effect, frozen=True):
    """Start the run's process; its intent is committed. ``checkpoint`` None: from scratch."""

    trial_id: TrialId
    run_id: RunId
    slot_ids: tuple[int, ...]
    checkpoint: str | None
    steps: int


class RunPreempt(_Effect, frozen=True):
    """Raise the run's preemption signal."""

    trial_id: TrialId
    run_id: RunId


class RunKill(_Effect, frozen=True):
    """Kill every process of the run."""

    trial_id: TrialId
    run_id: RunId


class RunEnded(_Effect, frozen=True):
    """The run is over: its slots are free, its token is void."""

    trial_id: TrialId
    request_id: RequestId
    run_id: RunId
    code: int | None
    reason: str


class RunFound(_Effect, frozen=True):
    """After a restart: this run may be alive. Take it up, or start it, or report its end."""

    trial_id: TrialId
    run_id: RunId
    slot_ids: tuple[int, ...]
    checkpoint: str | None
    steps: int
    started: bool


class DeadlineSet(_Effect, frozen=True):
    """Send ``DeadlinePassed`` after so many seconds, unless the run has ended."""

    trial_id: TrialId
    run_id: RunId
    kind: DeadlineKind
    after_s: float


class LogWritten(_Effect, frozen=True):
    """A line of the master's own in the trial's log."""

    trial_id: TrialId
    run_id: RunId
    level: str
    text: str


class ExperimentEnded(_Effect, frozen=True):
    """The experiment reached a terminal state: collect checkpoints, void tokens."""

    state: ExperimentState


Effect = (
    ExperimentChanged
    | TrialAdded
    | TrialChanged
    | TrialAdvanced
    | EventEnqueued
    | EventsAcknowledged
    | OperationChanged
    | SlotsWanted
    | SlotsWithdrawn
    | RunStart
    | RunPreempt
    | RunKill
    | RunEnded
    | RunFound
    | DeadlineSet
    | LogWritten
    | ExperimentEnded
)
