"""What trials say while they run; only the current run of a trial is listened to."""

from __future__ import annotations

from determined.domain import facts
from determined.domain.events import TrialProgress, ValidationCompleted
from determined.domain.facts import DeadlineKind
from determined.engine import effects as fx
from determined.engine.core import Core
from determined.engine.trial import MAX_REPORTS, Completion, Trial
from determined.errors import FailedPrecondition

EARLY_EXIT_GRACE_S = 10.0
"""How long a run that reported an early exit may take to exit before it is killed."""


def on_progress(engine: Core, fact: facts.ProgressReported) -> None:
    """Each report is an event of its own: searches count them. One that is sent again under its name counts once."""
    trial, run = engine.current_run(fact.trial_id, fact.run_id)
    if fact.report:
        if fact.report in run.reports:
            return
        run.reports = (*run.reports[1 - MAX_REPORTS :], fact.report)
        engine.dirty[trial.id] = trial
    engine.last_event += 1
    event = fx.EventEnqueued(engine.last_event, TrialProgress(trial.request_id, fact.units))
    engine.out.rest += (fx.TrialAdvanced(trial.id, fact.units), event)


def on_completed(engine: Core, fact: facts.OperationCompleted) -> None:
    """The trial did what its operation asked for. The process is left alone."""
    trial, run = engine.current_run(fact.trial_id, fact.run_id)
    if trial.complete or fact.length != trial.length:
        if _is_repeat(trial, fact):
            return
        raise FailedPrecondition(_unexpected(trial, fact))
    trial.complete = True
    engine.mark_changed(trial)
    # Scripts need not report progress, or not to the last unit; what is completed has been trained.
    engine.out.rest.append(fx.TrialAdvanced(trial.id, float(fact.length)))
    engine.enqueue(ValidationCompleted(trial.request_id, fact.metric, fact.length))
    trial.completion = Completion(run.run_id, fact.length, repr(fact.metric), engine.last_event)
    engine.settle(trial)


def _is_repeat(trial: Trial, fact: facts.OperationCompleted) -> bool:
    """A report that is sent again because its answer was lost; the next operation may have come meanwhile."""
    done = trial.completion
    return done is not None and (done.run_id, done.length, done.metric) == (
        fact.run_id,
        fact.length,
        repr(fact.metric),
    )


def _unexpected(trial: Trial, fact: facts.OperationCompleted) -> str:
    if trial.complete:
        return f"trial {trial.id} has no operation to complete; ask for the next one first"
    return f"trial {trial.id} completed length {fact.length}, but its operation asks for {trial.length}"


def on_early_exit(engine: Core, fact: facts.EarlyExitReported) -> None:
    """The hyperparameters are invalid; it counts when the process has exited, which it has to do soon."""
    trial, run = engine.current_run(fact.trial_id, fact.run_id)
    if not run.invalid_hp:
        run.invalid_hp = True
        engine.dirty[trial.id] = trial
        engine.set_deadline(trial, run, DeadlineKind.EARLY_EXIT, EARLY_EXIT_GRACE_S)


def on_acknowledged(engine: Core, fact: facts.ExitAcknowledged) -> None:
    """The run will exit of itself, and that is in order."""
    trial, run = engine.current_run(fact.trial_id, fact.run_id)
    run.acknowledged = True
    engine.dirty[trial.id] = trial


def on_metrics(engine: Core, fact: facts.MetricsReported) -> None:
    """Nothing is decided by metrics; they only must not come from a run that is over."""
    engine.current_run(fact.trial_id, fact.run_id)


def on_checkpoint(engine: Core, fact: facts.CheckpointReported) -> None:
    """The next run may start from here."""
    trial, _ = engine.current_run(fact.trial_id, fact.run_id)
    trial.remember_checkpoint(fact.uuid, fact.steps)
    engine.dirty[trial.id] = trial
