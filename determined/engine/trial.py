"""One trial's state, and what the end of a run means for it."""

from __future__ import annotations

import enum

import msgspec

from determined.domain.events import ExitCause
from determined.domain.ids import RequestId, RunId, TrialId
from determined.domain.states import RUN_TRANSITIONS, RunPhase, TrialState, check_transition

MAX_LOST_RUNS = 10
"""When so many runs in a row are lost before the start line, the last loss, and each one after it until a run passes
the line, counts as a failure of the trial; it would be started for ever otherwise."""
MAX_REPORTS = 32
"""How many names are remembered. A trial sends one report after the other, but a network may deliver one that was sent
twice when its successors have long come."""


class LiveRun(msgspec.Struct, gc=False):
    """The run that a trial has now; a trial without a run has none of this."""

    run_id: RunId
    phase: RunPhase = RunPhase.QUEUED
    slot_ids: tuple[int, ...] = ()
    acknowledged: bool = False
    """It said that it would exit although work may be left."""
    killed: bool = False
    preempted: bool = False
    in_no_hurry: bool = False
    """It was asked to exit only because a more important run wants its slots: it is not killed if it does not."""
    invalid_hp: bool = False
    reports: tuple[str, ...] = ()
    """Names of the newest reports of progress, at most ``MAX_REPORTS``, the newest last."""

    @property
    def has_process(self) -> bool:
        """A process was ordered and has not been seen to end."""
        return self.phase is not RunPhase.QUEUED

    def advance(self, phase: RunPhase) -> None:
        """Move along the table of run phases."""
        check_transition(RUN_TRANSITIONS, "run", self.run_id, self.phase, phase)
        self.phase = phase


class Completion(msgspec.Struct, frozen=True, gc=False):
    """The latest completed operation, kept so that a repeated report is told from a new one.

    ``metric`` is its ``repr``: in that form NaN equals itself, and numbers of any size can be saved.
    """

    run_id: RunId
    length: int
    metric: str
    event_id: int


class Trial(msgspec.Struct, gc=False):
    """What the engine knows of one trial that is not over.

    Attributes:
        length: of the current operation; None before the first.
        complete: there is no work left: no operation yet, or the current one is completed.
        closed: the search method will give no more work.
        runs: id of the newest run that got slots.
        announced: ``trialCreated`` has been enqueued.
        lost: runs in a row that were lost before they passed the start line.
        checkpoint, checkpoint_steps: newest registered checkpoint by steps; ties go to the later one.
        warm_start: checkpoint to begin from while there is none of the trial's own.
    """

    id: TrialId
    request_id: RequestId
    state: TrialState
    warm_start: str | None = None
    length: int | None = None
    complete: bool = True
    closed: bool = False
    runs: RunId = RunId(0)
    run: LiveRun | None = None
    restarts: int = 0
    lost: int = 0
    announced: bool = False
    completion: Completion | None = None
    checkpoint: str | None = None
    checkpoint_steps: int = 0

    @property
    def wants_run(self) -> bool:
        """It has work, may work, and nothing works on it."""
        return self.state is TrialState.ACTIVE and not self.complete and self.run is None

    @property
    def start_from(self) -> tuple[str | None, int]:
        """Checkpoint and steps for the next run."""
        if self.checkpoint is not None:
            return self.checkpoint, self.checkpoint_steps
        return self.warm_start, 0

    def remember_checkpoint(self, uuid: str, steps: int) -> None:
        """Keep the newest by steps; of equals the later one."""
        if self.checkpoint is None or steps >= self.checkpoint_steps:
            self.checkpoint, self.checkpoint_steps = uuid, steps


class Verdict(enum.Enum):
    """What the end of a run means."""

    STOPPED = enum.auto()
    """The trial was stopping; it reaches the terminal state of that stop."""
    FAILED = enum.auto()
    """The trial is over, in error."""
    INVALID_HP = enum.auto()
    """The trial is over because it said that its hyperparameters are invalid."""
    STOPPED_ITSELF = enum.auto()
    """The trial is over because it exited with 0 and work left."""
    RESTART = enum.auto()
    """The run failed; the trial counts a restart and goes on from its checkpoint."""
    RETRY = enum.auto()
    """The run was lost through no fault of the trial; it goes on, nothing is counted."""
    RELEASED = enum.auto()
    """The run ended in good order; the trial is idle or goes on."""


def judge_exit(trial: Trial, run: LiveRun, code: int | None, max_restarts: int) -> Verdict:
    """Classify the end of a run; the first rule that matches wins.

    A trial that is complete and closed is always stopping, so the first rule covers it.

    Args:
        code: exit code, None when nobody saw it (a failure of the system).
    """
    clean = run.killed or run.acknowledged
    failed = not clean and (_lost_too_often(trial, run) if code is None else code != 0)
    if trial.state.is_stopping:
        return Verdict.FAILED if failed else Verdict.STOPPED
    if run.invalid_hp:
        return Verdict.INVALID_HP
    if failed:
        return Verdict.FAILED if trial.restarts + 1 > max_restarts else Verdict.RESTART
    if clean:
        return Verdict.RELEASED
    return Verdict.RETRY if code is None else Verdict.STOPPED_ITSELF


def _lost_too_often(trial: Trial, run: LiveRun) -> bool:
    return run.phase is RunPhase.STARTING and trial.lost + 1 >= MAX_LOST_RUNS


CAUSE_OF_VERDICT = {
    Verdict.FAILED: ExitCause.ERRORED,
    Verdict.INVALID_HP: ExitCause.INVALID_HP,
    Verdict.STOPPED_ITSELF: ExitCause.STOPPED_ITSELF,
}
CAUSE_OF_STATE = {TrialState.ERROR: ExitCause.ERRORED, TrialState.CANCELED: ExitCause.KILLED}
STATE_OF_VERDICT = {
    Verdict.FAILED: TrialState.ERROR,
    Verdict.INVALID_HP: TrialState.COMPLETED,
    Verdict.STOPPED_ITSELF: TrialState.COMPLETED,
}
