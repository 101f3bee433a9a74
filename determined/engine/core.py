"""What one experiment is, and the moves that its state and its trials can make. What makes them move is elsewhere."""

from __future__ import annotations

import msgspec

from determined.domain.events import ExitCause, SearcherEvent, TrialClosed, TrialExitedEarly
from determined.domain.facts import DeadlineKind
from determined.domain.ids import ExperimentId, RequestId, RunId, TrialId
from determined.domain.states import (
    EXPERIMENT_OUTCOME,
    EXPERIMENT_TRANSITIONS,
    STOPPING_SEVERITY,
    TRIAL_OUTCOME,
    TRIAL_TRANSITIONS,
    ExperimentState,
    RunPhase,
    TrialState,
    check_transition,
)
from determined.engine import effects as fx
from determined.engine.output import Output
from determined.engine.trial import CAUSE_OF_STATE, LiveRun, Trial
from determined.errors import StaleRun

PREEMPTION_GRACE_S = 3600.0
"""How long a preempted run may take to exit before it is killed."""


class Settings(msgspec.Struct, frozen=True):
    """What the engine needs to know of the configuration."""

    experiment_id: ExperimentId
    max_restarts: int = 5
    slots_per_trial: int = 1
    warm_start: str | None = None


class Core:
    """The state of one experiment.

    Attributes:
        trials: those that are not over, by id.
        index: ids of all trials that ever were, by request id.
        last_event: id of the newest event; ids count from 1 without gaps.
        answered: newest acknowledged event.
        last_checkpoints: of trials that are over: what their next run would have started from, if not from scratch.
        dirty: trials that differ from the last snapshot, those that are over included.
        out: what the present fact has led to so far; ``at`` is its time.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.state = ExperimentState.PAUSED
        self.progress: float | None = None
        self.message = ""
        self.ended_at: float | None = None
        self.last_event = 0
        self.answered = 0
        self.trials: dict[TrialId, Trial] = {}
        self.index: dict[RequestId, TrialId] = {}
        self.last_checkpoints: dict[TrialId, str] = {}
        self.dirty: dict[TrialId, Trial] = {}
        self.out = Output()
        self.at = 0.0

    # The experiment

    def enter(self, state: ExperimentState) -> None:
        """Change the experiment's state and tell every live trial."""
        check_transition(EXPERIMENT_TRANSITIONS, "experiment", self.settings.experiment_id, self.state, state)
        self.state = state
        self.out.experiment_changed = True
        target = TrialState(state.value)
        for trial in list(self.trials.values()):
            self.push(trial, target)

    def finish_if_over(self) -> None:
        """A stopping experiment is over as soon as none of its trials is alive."""
        if self.trials or not self.state.is_stopping:
            return
        self.state = EXPERIMENT_OUTCOME[self.state]
        self.ended_at = self.at
        if self.state is ExperimentState.COMPLETED:
            self.progress = 1.0
        self.out.experiment_changed = True
        self.out.rest.append(fx.ExperimentEnded(self.state))

    # Trials

    def settle(self, trial: Trial) -> None:
        """Bring a trial to rest: ask for a run, give one up, or finish, as its state demands."""
        if trial.closed and trial.complete and not trial.state.is_stopping:
            self.push(trial, TrialState.STOPPING_COMPLETED)
            return
        run = trial.run
        if run is not None and not run.has_process and (trial.complete or trial.state is not TrialState.ACTIVE):
            self.out.rest.append(fx.SlotsWithdrawn(trial.id, run.run_id))
            trial.run = run = None
            self.mark_changed(trial)
        if run is None and trial.state.is_stopping:
            self.end_trial(trial, TRIAL_OUTCOME[trial.state])
        elif trial.wants_run:
            trial.run = LiveRun(RunId(trial.runs + 1))
            self.mark_changed(trial)
            self.out.rest.append(fx.SlotsWanted(trial.id, trial.run.run_id, self.settings.slots_per_trial))

    def push(self, trial: Trial, target: TrialState) -> None:
        """Bring a trial towards a state that the experiment or a user asks for."""
        if target is not trial.state:
            if STOPPING_SEVERITY.get(target, 0) < STOPPING_SEVERITY.get(trial.state, 0):
                return
            self._move(trial, target)
        run = trial.run
        if run is not None and run.has_process:
            if target in (TrialState.STOPPING_KILLED, TrialState.STOPPING_ERROR):
                self.kill(trial, run)
            elif target in (TrialState.PAUSED, TrialState.STOPPING_CANCELED):
                self.preempt(trial, run)
        self.out.woken[trial.id] = None
        self.settle(trial)

    def preempt(self, trial: Trial, run: LiveRun, in_no_hurry: bool = False) -> None:
        """Ask a run to save and exit; repeating it changes nothing, except that one that need not hurry may have to."""
        if run.phase is RunPhase.STARTING:
            # It has not passed the start line, so it cannot listen for the signal yet and has nothing to save.
            self.kill(trial, run)
        elif not run.preempted or (run.in_no_hurry and not in_no_hurry):
            run.preempted, run.in_no_hurry = True, in_no_hurry
            self.dirty[trial.id] = trial
            self.out.rest.append(fx.RunPreempt(trial.id, run.run_id))
            if not in_no_hurry:
                self.set_deadline(trial, run, DeadlineKind.PREEMPTION, PREEMPTION_GRACE_S)

    def kill(self, trial: Trial, run: LiveRun) -> None:
        """End a run at once; repeating it kills again."""
        run.killed = True
        self.dirty[trial.id] = trial
        self.out.rest.append(fx.RunKill(trial.id, run.run_id))

    def end_trial(self, trial: Trial, state: TrialState, cause: ExitCause | None = None) -> None:
        """Make a trial terminal, announce its end, and forget all but its ids and its newest checkpoint."""
        if state not in TRIAL_TRANSITIONS[trial.state]:
            # A paused trial has no arrow to COMPLETED; it passes through, as if it had been closed.
            self._move(trial, TrialState.STOPPING_COMPLETED)
        self._move(trial, state)
        cause = cause or CAUSE_OF_STATE.get(state)
        if cause is not None:
            self.enqueue(TrialExitedEarly(trial.request_id, cause))
        trial.complete = trial.closed = True
        self.enqueue(TrialClosed(trial.request_id))
        self.out.woken[trial.id] = None
        checkpoint, _ = trial.start_from
        if checkpoint is not None:
            self.last_checkpoints[trial.id] = checkpoint
        del self.trials[trial.id]

    def newest_checkpoint(self, request_id: RequestId) -> str | None:
        """What a trial would go on from, whether it is over or not; None: it would start from scratch."""
        trial_id = self.index[request_id]
        trial = self.trials.get(trial_id)
        return self.last_checkpoints.get(trial_id) if trial is None else trial.start_from[0]

    def _move(self, trial: Trial, target: TrialState) -> None:
        if target not in TRIAL_TRANSITIONS[trial.state]:
            check_transition(TRIAL_TRANSITIONS, "trial", trial.id, trial.state, target)
        trial.state = target
        self.mark_changed(trial)

    def current_run(self, trial_id: TrialId, run_id: RunId) -> tuple[Trial, LiveRun]:
        """The trial and its live run, if it is this one and has a process.

        Raises:
            StaleRun: it is not.
        """
        trial = self.trials.get(trial_id)
        run = None if trial is None else trial.run
        if trial is None or run is None or run.run_id != run_id or run.phase is RunPhase.QUEUED:
            raise StaleRun(
                f"run {run_id} is not the current run of trial {trial_id}; its reports are not accepted any more"
            )
        return trial, run

    # Output

    def mark_changed(self, trial: Trial) -> None:
        """The trial's row and its snapshot are out of date."""
        self.out.changed[trial.id] = self.dirty[trial.id] = trial

    def enqueue(self, event: SearcherEvent) -> None:
        """Tell the search method."""
        self.last_event += 1
        self.out.rest.append(fx.EventEnqueued(self.last_event, event))

    def log(self, trial: Trial, level: str, text: str) -> None:
        """Write into the log of the trial's newest run."""
        self.out.rest.append(fx.LogWritten(trial.id, trial.runs, level, text))

    def set_deadline(self, trial: Trial, run: LiveRun, kind: DeadlineKind, after_s: float) -> None:
        """Ask to be woken, in case the run has not ended by then."""
        self.out.rest.append(fx.DeadlineSet(trial.id, run.run_id, kind, after_s))
