"""What happens to the runs of trials: they get slots, start, are asked to stop, and end."""

from __future__ import annotations

from determined.domain import facts
from determined.domain.events import TrialCreated
from determined.domain.facts import DeadlineKind
from determined.domain.states import TRIAL_OUTCOME, RunPhase
from determined.engine import effects as fx
from determined.engine.core import Core
from determined.engine.trial import CAUSE_OF_VERDICT, STATE_OF_VERDICT, Trial, Verdict, judge_exit
from determined.errors import StaleRun


def on_granted(engine: Core, fact: facts.SlotsGranted) -> None:
    """A queued run got slots: from here on a process of it may exist."""
    trial = engine.trials.get(fact.trial_id)
    if trial is None or trial.run is None or trial.run.run_id != fact.run_id or trial.run.has_process:
        raise StaleRun(f"run {fact.run_id} of trial {fact.trial_id} does not wait for slots")
    run = trial.run
    run.advance(RunPhase.STARTING)
    run.slot_ids = fact.slot_ids
    trial.runs = run.run_id
    engine.mark_changed(trial)
    if not trial.announced:
        trial.announced = True
        engine.enqueue(TrialCreated(trial.request_id))
    engine.out.rest.append(fx.RunStart(trial.id, run.run_id, fact.slot_ids, *trial.start_from))


def on_seen(engine: Core, fact: facts.RunSeen) -> None:
    """The run has passed the start line; hearing it again changes nothing."""
    trial, run = engine.current_run(fact.trial_id, fact.run_id)
    if run.phase is not RunPhase.RUNNING:
        run.advance(RunPhase.RUNNING)
        trial.lost = 0
        engine.mark_changed(trial)


def on_preemption_requested(engine: Core, fact: facts.PreemptionRequested) -> None:
    """The platform wants the slots, or a more important run does."""
    trial, run = engine.current_run(fact.trial_id, fact.run_id)
    engine.preempt(trial, run, fact.for_priority)


def on_deadline(engine: Core, fact: facts.DeadlinePassed) -> None:
    """Kill the run if it still has a process that was asked to exit."""
    trial = engine.trials.get(fact.trial_id)
    run = None if trial is None else trial.run
    if trial is None or run is None or run.run_id != fact.run_id or not run.has_process:
        return
    asked = run.preempted and not run.in_no_hurry if fact.kind is DeadlineKind.PREEMPTION else run.invalid_hp
    if asked:
        engine.log(trial, "WARNING", _DEADLINE_TEXT[fact.kind])
        engine.kill(trial, run)


_DEADLINE_TEXT = {
    DeadlineKind.PREEMPTION: "the run did not exit after its preemption signal and is killed",
    DeadlineKind.EARLY_EXIT: "the run reported an early exit but did not exit and is killed",
}


def on_exited(engine: Core, fact: facts.RunExited) -> None:
    """The run's process is gone; what that means for the trial is the verdict's to say."""
    trial, run = engine.current_run(fact.trial_id, fact.run_id)
    verdict = judge_exit(trial, run, fact.code, engine.settings.max_restarts)
    trial.run = None
    engine.mark_changed(trial)
    engine.out.rest.append(fx.RunEnded(trial.id, trial.request_id, run.run_id, fact.code, fact.reason))
    if verdict in (Verdict.FAILED, Verdict.RESTART):
        _count_failure(engine, trial, fact, verdict)
    elif verdict is Verdict.RETRY:
        trial.lost += run.phase is RunPhase.STARTING
        why = fact.reason or "nobody saw how it ended"
        engine.log(trial, "WARNING", f"run {run.run_id} was lost ({why}); this is not counted as a restart")
    if verdict is Verdict.STOPPED:
        engine.end_trial(trial, TRIAL_OUTCOME[trial.state])
    elif verdict in STATE_OF_VERDICT:
        engine.end_trial(trial, STATE_OF_VERDICT[verdict], CAUSE_OF_VERDICT[verdict])
    else:
        engine.settle(trial)


def _count_failure(engine: Core, trial: Trial, fact: facts.RunExited, verdict: Verdict) -> None:
    limit = engine.settings.max_restarts
    how = f"failed with exit code {fact.code}" if fact.code is not None else "was lost too often"
    text = f"run {fact.run_id} {how}" + (f" ({fact.reason})" if fact.reason else "")
    if not trial.state.is_stopping:
        trial.restarts += 1
        ahead = f"restart {trial.restarts} of {limit} follows" if verdict is Verdict.RESTART else ""
        text += f"; {ahead or f'max_restarts is {limit}, so the trial ends in ERROR'}"
    engine.log(trial, "ERROR", text)
