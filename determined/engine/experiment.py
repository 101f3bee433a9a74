"""One experiment as a state machine: ``handle(fact) -> [effect]`` is the only way in.

A refused fact raises and leaves everything as it was: each handler checks before it changes. The cost of a fact
does not depend on the number of trials, except for changes of the experiment's own state, which reach each live one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from determined.domain import facts
from determined.domain.events import (
    ExitCause,
    InitialOperations,
    SearcherEvent,
    TrialClosed,
    TrialCreated,
    TrialExitedEarly,
    TrialProgress,
    ValidationCompleted,
)
from determined.domain.facts import DeadlineKind, Fact, Verb
from determined.domain.ids import ExperimentId, RequestId, RunId, TrialId
from determined.domain.operations import Close, Create, Operation, Progress, Shutdown, ValidateAfter
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
from determined.engine.effects import Effect
from determined.engine.trial import (
    CAUSE_OF_STATE,
    CAUSE_OF_VERDICT,
    STATE_OF_VERDICT,
    Completion,
    LiveRun,
    Trial,
    Verdict,
    judge_exit,
)
from determined.errors import FailedPrecondition, InvalidOperations, StaleRun

PREEMPTION_GRACE_S = 3600.0
"""How long a preempted run may take to exit before it is killed."""
EARLY_EXIT_GRACE_S = 10.0
"""How long a run that reported an early exit may take to exit before it is killed."""


class Settings(msgspec.Struct, frozen=True):
    """What the engine needs to know of the configuration."""

    experiment_id: ExperimentId
    max_restarts: int = 5
    slots_per_trial: int = 1
    warm_start: str | None = None


class AlreadyAnswered(FailedPrecondition):
    """The triggering event was acknowledged before; compare with what was posted then."""

    def __init__(self, trigger: int) -> None:
        self.trigger = trigger
        super().__init__(f"event {trigger} has been answered already")


class Experiment:
    """The engine of one experiment.

    Attributes:
        trials: those that are not over, by id.
        index: ids of all trials that ever were, by request id.
        last_event: id of the newest event; ids count from 1 without gaps.
        answered: newest acknowledged event.
        dirty: trials that differ from the last snapshot, those that are over included.
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
        self.dirty: dict[TrialId, Trial] = {}
        self._out: list[Effect] = []
        self._changed: dict[TrialId, Trial] = {}
        self._at = 0.0

    def handle(self, fact: Fact) -> list[Effect]:
        """Take in one fact.

        Returns:
            What is to be done, in order. Rows (``TrialChanged`` ...) appear at most once each.
        Raises:
            DeterminedError: the fact is refused; nothing has changed.
        """
        self._out = []
        self._changed = {}
        self._at = fact.at
        _HANDLERS[type(fact)](self, fact)
        self._finish_if_over()
        if self._changed:
            self._out[:0] = [_changed(t) for t in self._changed.values()]
            self.dirty.update(self._changed)
        # New rows come before their changes, and both before what refers to them.
        out = self._out
        if any(type(e) is fx.TrialAdded for e in out):
            out = sorted(out, key=lambda e: type(e) is not fx.TrialAdded)
        self._out = []
        return out

    # Start and commands

    def _on_created(self, fact: facts.ExperimentCreated) -> None:
        if fact.active:
            self.state = ExperimentState.ACTIVE
        self._enqueue(InitialOperations())
        self._out.append(fx.ExperimentChanged())

    def _on_commanded(self, fact: facts.ExperimentCommanded) -> None:
        verb, state = fact.verb, self.state
        if verb is Verb.PAUSE and state is not ExperimentState.PAUSED:
            self._require_running("paused")
            self._enter(ExperimentState.PAUSED)
        elif verb is Verb.ACTIVATE and state is not ExperimentState.ACTIVE:
            self._require_running("activated")
            self._enter(ExperimentState.ACTIVE)
        elif verb is Verb.CANCEL and state.is_running:
            self._enter(ExperimentState.STOPPING_CANCELED)
        elif verb is Verb.KILL and not state.is_terminal:
            if ExperimentState.STOPPING_KILLED in EXPERIMENT_TRANSITIONS[state]:
                self._enter(ExperimentState.STOPPING_KILLED)
            else:
                for trial in list(self.trials.values()):
                    self._push(trial, trial.state)

    def _require_running(self, done: str) -> None:
        if not self.state.is_running:
            raise FailedPrecondition(
                f"experiment {self.settings.experiment_id} is {self.state.value} and cannot be {done} "
                "(allowed: ACTIVE, PAUSED)"
            )

    def _on_method_failed(self, fact: facts.MethodFailed) -> None:
        if not self.state.is_running:
            return
        self.message = fact.message
        self._enter(ExperimentState.STOPPING_ERROR)

    def _enter(self, state: ExperimentState) -> None:
        """Change the experiment's state and tell every live trial."""
        what = f"experiment {self.settings.experiment_id}"
        check_transition(EXPERIMENT_TRANSITIONS, what, self.state, state)
        self.state = state
        self._out.append(fx.ExperimentChanged())
        target = TrialState(state.value)
        for trial in list(self.trials.values()):
            self._push(trial, target)

    def _finish_if_over(self) -> None:
        if self.state.is_stopping and not self.trials:
            self.state = EXPERIMENT_OUTCOME[self.state]
            self.ended_at = self._at
            if self.state is ExperimentState.COMPLETED:
                self.progress = 1.0
            self._out += [fx.ExperimentChanged(), fx.ExperimentEnded(self.state)]

    # Operations

    def _on_operations(self, fact: facts.OperationsPosted) -> None:
        if self.state.is_terminal:
            return
        if fact.trigger is not None:
            self._check_trigger(fact.trigger)
        if self.state.is_running:
            self._check_batch(fact.operations)
        if fact.trigger is not None:
            self.answered = fact.trigger
            self._out.append(fx.EventsAcknowledged(fact.trigger))
        if self.state.is_running:
            self._apply_batch(fact.operations, fact.first_trial_id)

    def _check_trigger(self, trigger: int) -> None:
        if not 1 <= trigger <= self.last_event:
            raise InvalidOperations(
                f"triggeredByEvent.id {trigger} is not an event of experiment {self.settings.experiment_id} "
                f"(allowed: {self.answered + 1} to {self.last_event}); fetch its events and answer one of them"
            )
        if trigger <= self.answered:
            raise AlreadyAnswered(trigger)

    def _check_batch(self, operations: Sequence[Operation]) -> None:
        seen: set[RequestId] = set()
        for i, op in enumerate(operations):
            if not isinstance(op, Create):
                continue
            if op.request_id in self.index or op.request_id in seen:
                raise InvalidOperations(
                    f"operation {i}: a trial with request id {op.request_id} exists already; "
                    "use a fresh uuid for each Create"
                )
            seen.add(op.request_id)

    def _apply_batch(self, operations: Sequence[Operation], first_trial_id: TrialId) -> None:
        touched: dict[TrialId, Trial] = {}
        next_id = int(first_trial_id)
        shutdown: Shutdown | None = None
        for op in operations:
            if isinstance(op, Progress):
                self._set_progress(op.progress)
            elif shutdown is not None:
                continue
            elif isinstance(op, Shutdown):
                shutdown = op
            elif isinstance(op, Create):
                self._add_trial(op, TrialId(next_id))
                next_id += 1
            else:
                trial = self._find_open(op.request_id)
                if trial is not None:
                    self._order(trial, op)
                    touched[trial.id] = trial
        for trial in touched.values():
            self._out.append(fx.OperationChanged(trial.id))
            self._settle(trial)
        if shutdown is not None:
            self._shut_down(shutdown)

    def _set_progress(self, progress: float) -> None:
        clamped = min(max(float(progress), 0.0), 1.0)
        if clamped != self.progress:
            self.progress = clamped
            self._out.append(fx.ExperimentChanged())

    def _add_trial(self, op: Create, trial_id: TrialId) -> None:
        warm_start = op.checkpoint or self.settings.warm_start
        trial = Trial(trial_id, op.request_id, TrialState(self.state.value), warm_start)
        self.trials[trial_id] = self.dirty[trial_id] = trial
        self.index[op.request_id] = trial_id
        self._out.append(fx.TrialAdded(trial_id, op.request_id, op.hparams, warm_start, trial.state))

    def _find_open(self, request_id: RequestId) -> Trial | None:
        """The live trial of this id. Operations for a trial that is over, or never was, are ignored:
        the search method may have posted them before it could hear of the end."""
        trial_id = self.index.get(request_id)
        return None if trial_id is None else self.trials.get(trial_id)

    def _order(self, trial: Trial, op: Operation) -> None:
        if isinstance(op, ValidateAfter):
            trial.length, trial.complete = op.length, False
        else:
            trial.closed = True
        self._changed[trial.id] = trial

    def _shut_down(self, op: Shutdown) -> None:
        if op.failure:
            self.message = op.reason or "the search method ended the search as failed"
            self._enter(ExperimentState.STOPPING_ERROR)
        else:
            self._enter(ExperimentState.STOPPING_CANCELED if op.cancel else ExperimentState.STOPPING_COMPLETED)

    # Trials

    def _settle(self, trial: Trial) -> None:
        """Bring a trial to rest: ask for a run, give one up, or finish, as its state demands."""
        if trial.complete and trial.closed and not trial.state.is_stopping:
            self._push(trial, TrialState.STOPPING_COMPLETED)
            return
        run = trial.run
        if run is not None and not run.has_process and (trial.complete or trial.state is not TrialState.ACTIVE):
            self._out.append(fx.SlotsWithdrawn(trial.id, run.run_id))
            trial.run = run = None
            self._changed[trial.id] = trial
        if run is None and trial.state.is_stopping:
            self._end_trial(trial, TRIAL_OUTCOME[trial.state])
        elif trial.wants_run:
            trial.run = LiveRun(RunId(trial.runs + 1))
            self._changed[trial.id] = trial
            self._out.append(fx.SlotsWanted(trial.id, trial.run.run_id, self.settings.slots_per_trial))

    def _push(self, trial: Trial, target: TrialState) -> None:
        """Bring a trial towards a state that the experiment or a user asks for."""
        if target is not trial.state:
            if STOPPING_SEVERITY.get(target, 0) < STOPPING_SEVERITY.get(trial.state, 0):
                return
            self._move(trial, target)
        run = trial.run
        if run is not None and run.has_process:
            if target in (TrialState.STOPPING_KILLED, TrialState.STOPPING_ERROR):
                self._kill(trial, run)
            elif target in (TrialState.PAUSED, TrialState.STOPPING_CANCELED):
                self._preempt(trial, run)
        self._out.append(fx.OperationChanged(trial.id))
        self._settle(trial)

    def _move(self, trial: Trial, target: TrialState) -> None:
        check_transition(TRIAL_TRANSITIONS, f"trial {trial.id}", trial.state, target)
        trial.state = target
        self._changed[trial.id] = trial

    def _preempt(self, trial: Trial, run: LiveRun) -> None:
        if run.phase is RunPhase.STARTING:
            # It has not passed the start line, so it cannot listen for the signal yet and has nothing to save.
            self._kill(trial, run)
        elif not run.preempted:
            run.preempted = True
            self.dirty[trial.id] = trial
            self._out.append(fx.RunPreempt(trial.id, run.run_id))
            self._out.append(fx.DeadlineSet(trial.id, run.run_id, DeadlineKind.PREEMPTION, PREEMPTION_GRACE_S))

    def _kill(self, trial: Trial, run: LiveRun) -> None:
        run.killed = True
        self.dirty[trial.id] = trial
        self._out.append(fx.RunKill(trial.id, run.run_id))

    def _end_trial(self, trial: Trial, state: TrialState, cause: ExitCause | None = None) -> None:
        """Make a trial terminal, announce its end, and forget all but its id."""
        if state not in TRIAL_TRANSITIONS[trial.state]:
            passing = next(s for s, end in TRIAL_OUTCOME.items() if end is state)
            self._move(trial, passing)
        self._move(trial, state)
        cause = cause or CAUSE_OF_STATE.get(state)
        if cause is not None and not trial.exited_early:
            trial.exited_early = True
            self._enqueue(TrialExitedEarly(trial.request_id, cause))
        trial.complete = trial.closed = True
        self._enqueue(TrialClosed(trial.request_id))
        self._out.append(fx.OperationChanged(trial.id))
        del self.trials[trial.id]

    def _on_kill_trial(self, fact: facts.TrialKillRequested) -> None:
        trial = self.trials.get(fact.trial_id)
        if trial is not None:
            target = TrialState.STOPPING_KILLED
            self._push(trial, trial.state if trial.state is TrialState.STOPPING_ERROR else target)

    # Runs

    def current_run(self, trial_id: TrialId, run_id: RunId) -> tuple[Trial, LiveRun]:
        """The trial and its live run, if it is this one and has a process.

        Raises:
            StaleRun: it is not.
        """
        trial = self.trials.get(trial_id)
        if trial is None or trial.run is None or trial.run.run_id != run_id or not trial.run.has_process:
            raise StaleRun(
                f"run {run_id} is not the current run of trial {trial_id}; its reports are not accepted any more"
            )
        return trial, trial.run

    def _on_granted(self, fact: facts.SlotsGranted) -> None:
        trial = self.trials.get(fact.trial_id)
        if trial is None or trial.run is None or trial.run.run_id != fact.run_id or trial.run.has_process:
            raise StaleRun(f"run {fact.run_id} of trial {fact.trial_id} does not wait for slots")
        run = trial.run
        run.advance(RunPhase.STARTING)
        run.slot_ids = fact.slot_ids
        trial.runs = run.run_id
        self._changed[trial.id] = trial
        if not trial.announced:
            trial.announced = True
            self._enqueue(TrialCreated(trial.request_id))
        self._out.append(fx.RunStart(trial.id, run.run_id, fact.slot_ids, *trial.start_from))

    def _on_seen(self, fact: facts.RunSeen) -> None:
        trial, run = self.current_run(fact.trial_id, fact.run_id)
        if run.phase is not RunPhase.RUNNING:
            run.advance(RunPhase.RUNNING)
            trial.lost = 0
            self._changed[trial.id] = trial

    def _on_acknowledged(self, fact: facts.ExitAcknowledged) -> None:
        trial, run = self.current_run(fact.trial_id, fact.run_id)
        run.acknowledged = True
        self.dirty[trial.id] = trial

    def _on_preemption_requested(self, fact: facts.PreemptionRequested) -> None:
        trial, run = self.current_run(fact.trial_id, fact.run_id)
        self._preempt(trial, run)

    def _on_deadline(self, fact: facts.DeadlinePassed) -> None:
        trial = self.trials.get(fact.trial_id)
        if trial is not None and trial.run is not None and trial.run.run_id == fact.run_id:
            self._log(trial, "WARNING", _DEADLINE_TEXT[fact.kind])
            self._kill(trial, trial.run)

    def _on_exited(self, fact: facts.RunExited) -> None:
        trial, run = self.current_run(fact.trial_id, fact.run_id)
        verdict = judge_exit(trial, run, fact.code, self.settings.max_restarts)
        trial.run = None
        self._changed[trial.id] = trial
        self._out.append(fx.RunEnded(trial.id, trial.request_id, run.run_id, fact.code, fact.reason))
        if verdict in (Verdict.FAILED, Verdict.RESTART):
            self._count_failure(trial, fact, verdict)
        if verdict is Verdict.STOPPED:
            if not trial.state.is_stopping:
                self._move(trial, TrialState.STOPPING_COMPLETED)
            self._end_trial(trial, TRIAL_OUTCOME[trial.state])
        elif verdict in STATE_OF_VERDICT:
            self._end_trial(trial, STATE_OF_VERDICT[verdict], CAUSE_OF_VERDICT[verdict])
        else:
            if verdict is Verdict.RETRY:
                trial.lost += 1
                why = fact.reason or "nobody saw how it ended"
                self._log(trial, "WARNING", f"run {run.run_id} was lost ({why}); this is not counted as a restart")
            self._settle(trial)

    def _count_failure(self, trial: Trial, fact: facts.RunExited, verdict: Verdict) -> None:
        limit = self.settings.max_restarts
        how = f"failed with exit code {fact.code}" if fact.code is not None else "was lost too often"
        text = f"run {fact.run_id} {how}" + (f" ({fact.reason})" if fact.reason else "")
        if not trial.state.is_stopping:
            trial.restarts += 1
            ahead = f"restart {trial.restarts} of {limit} follows" if verdict is Verdict.RESTART else ""
            text += f"; {ahead or f'max_restarts is {limit}, so the trial ends in ERROR'}"
        self._log(trial, "ERROR", text)

    # Reports of trials

    def _on_progress(self, fact: facts.ProgressReported) -> None:
        trial, _ = self.current_run(fact.trial_id, fact.run_id)
        self._out.append(fx.TrialAdvanced(trial.id, fact.units))
        self._enqueue(TrialProgress(trial.request_id, fact.units))

    def _on_completed(self, fact: facts.OperationCompleted) -> None:
        trial, run = self.current_run(fact.trial_id, fact.run_id)
        if trial.complete:
            if self._is_repeat(trial, fact):
                return
            raise FailedPrecondition(f"trial {trial.id} has no operation to complete; ask for the next one first")
        if fact.length != trial.length:
            raise FailedPrecondition(
                f"trial {trial.id} completed length {fact.length}, but its operation asks for {trial.length}"
            )
        trial.complete = True
        self._changed[trial.id] = trial
        self._enqueue(ValidationCompleted(trial.request_id, fact.metric, fact.length))
        trial.completion = Completion(run.run_id, fact.length, fact.metric, self.last_event)
        self._settle(trial)

    @staticmethod
    def _is_repeat(trial: Trial, fact: facts.OperationCompleted) -> bool:
        """A retried report whose first answer was lost. NaN has to equal itself here, hence ``repr``."""
        done = trial.completion
        return (
            done is not None
            and (done.run_id, done.length) == (fact.run_id, fact.length)
            and repr(done.metric) == repr(fact.metric)
        )

    def _on_early_exit(self, fact: facts.EarlyExitReported) -> None:
        trial, run = self.current_run(fact.trial_id, fact.run_id)
        if not run.invalid_hp:
            run.invalid_hp = True
            self.dirty[trial.id] = trial
            self._out.append(fx.DeadlineSet(trial.id, run.run_id, DeadlineKind.EARLY_EXIT, EARLY_EXIT_GRACE_S))

    def _on_metrics(self, fact: facts.MetricsReported) -> None:
        self.current_run(fact.trial_id, fact.run_id)

    def _on_checkpoint(self, fact: facts.CheckpointReported) -> None:
        trial, _ = self.current_run(fact.trial_id, fact.run_id)
        trial.remember_checkpoint(fact.uuid, fact.steps)
        self.dirty[trial.id] = trial

    # Output

    def _enqueue(self, event: SearcherEvent) -> None:
        self.last_event += 1
        self._out.append(fx.EventEnqueued(self.last_event, event))

    def _log(self, trial: Trial, level: str, text: str) -> None:
        self._out.append(fx.LogWritten(trial.id, trial.runs, level, text))

    def resume(self, at: float) -> list[Effect]:
        """What has to be done again after a restart: everything that was ordered and not seen to be done."""
        self._out, self._changed, self._at = [], {}, at
        for trial in self.trials.values():
            run = trial.run
            if run is None:
                continue
            if not run.has_process:
                self._out.append(fx.SlotsWanted(trial.id, run.run_id, self.settings.slots_per_trial))
                continue
            started = run.phase is RunPhase.RUNNING
            self._out.append(fx.RunFound(trial.id, run.run_id, run.slot_ids, *trial.start_from, started))
            if run.invalid_hp:
                self._out.append(fx.DeadlineSet(trial.id, run.run_id, DeadlineKind.EARLY_EXIT, EARLY_EXIT_GRACE_S))
            if run.killed:
                self._out.append(fx.RunKill(trial.id, run.run_id))
            elif run.preempted:
                self._out.append(fx.RunPreempt(trial.id, run.run_id))
                self._out.append(fx.DeadlineSet(trial.id, run.run_id, DeadlineKind.PREEMPTION, PREEMPTION_GRACE_S))
        out, self._out = self._out, []
        return out


def _changed(trial: Trial) -> fx.TrialChanged:
    phase = None if trial.run is None else trial.run.phase
    return fx.TrialChanged(trial.id, trial.state, trial.runs, phase, trial.restarts, trial.closed)


_DEADLINE_TEXT = {
    DeadlineKind.PREEMPTION: "the run did not exit after its preemption signal and is killed",
    DeadlineKind.EARLY_EXIT: "the run reported an early exit but did not exit and is killed",
}

_HANDLERS: dict[type[Any], Callable[[Experiment, Any], None]] = {
    facts.ExperimentCreated: Experiment._on_created,
    facts.OperationsPosted: Experiment._on_operations,
    facts.ExperimentCommanded: Experiment._on_commanded,
    facts.MethodFailed: Experiment._on_method_failed,
    facts.TrialKillRequested: Experiment._on_kill_trial,
    facts.SlotsGranted: Experiment._on_granted,
    facts.RunSeen: Experiment._on_seen,
    facts.RunExited: Experiment._on_exited,
    facts.ProgressReported: Experiment._on_progress,
    facts.OperationCompleted: Experiment._on_completed,
    facts.EarlyExitReported: Experiment._on_early_exit,
    facts.ExitAcknowledged: Experiment._on_acknowledged,
    facts.PreemptionRequested: Experiment._on_preemption_requested,
    facts.MetricsReported: Experiment._on_metrics,
    facts.CheckpointReported: Experiment._on_checkpoint,
    facts.DeadlinePassed: Experiment._on_deadline,
}
