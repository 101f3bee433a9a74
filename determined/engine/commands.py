"""What the start of an experiment and the wishes of its users mean."""

from __future__ import annotations

from determined.domain import facts
from determined.domain.events import InitialOperations
from determined.domain.facts import Verb
from determined.domain.states import EXPERIMENT_TRANSITIONS, ExperimentState, TrialState
from determined.engine.core import Core
from determined.errors import FailedPrecondition


def on_created(engine: Core, fact: facts.ExperimentCreated) -> None:
    """The search starts, paused or not."""
    if engine.last_event:
        raise FailedPrecondition(f"experiment {engine.settings.experiment_id} was created before; this happens once")
    if fact.active:
        engine.state = ExperimentState.ACTIVE
    engine.enqueue(InitialOperations())
    engine.out.experiment_changed = True


def on_commanded(engine: Core, fact: facts.ExperimentCommanded) -> None:
    """A user's verb. What is so already, or too late to matter, changes nothing."""
    verb, state = fact.verb, engine.state
    if verb is Verb.PAUSE and state is not ExperimentState.PAUSED:
        _require_running(engine, "paused")
        engine.enter(ExperimentState.PAUSED)
    elif verb is Verb.ACTIVATE and state is not ExperimentState.ACTIVE:
        _require_running(engine, "activated")
        engine.enter(ExperimentState.ACTIVE)
    elif verb is Verb.CANCEL and state.is_running:
        engine.enter(ExperimentState.STOPPING_CANCELED)
    elif verb is Verb.KILL and not state.is_terminal:
        _kill(engine)


def _kill(engine: Core) -> None:
    if ExperimentState.STOPPING_KILLED in EXPERIMENT_TRANSITIONS[engine.state]:
        engine.enter(ExperimentState.STOPPING_KILLED)
        return
    # It is being killed already: kill what is left once more.
    for trial in list(engine.trials.values()):
        engine.push(trial, trial.state)


def _require_running(engine: Core, done: str) -> None:
    if not engine.state.is_running:
        raise FailedPrecondition(
            f"experiment {engine.settings.experiment_id} is {engine.state.value} and cannot be {done} "
            "(allowed: ACTIVE, PAUSED)"
        )


def on_method_failed(engine: Core, fact: facts.MethodFailed) -> None:
    """Without its search method, a search that still runs cannot go on."""
    if engine.state.is_running:
        engine.message = fact.message
        engine.enter(ExperimentState.STOPPING_ERROR)


def on_kill_trial(engine: Core, fact: facts.TrialKillRequested) -> None:
    """End one trial; one that is over stays as it is, one that ends in error already is killed once more."""
    trial = engine.trials.get(fact.trial_id)
    if trial is not None:
        failing = trial.state is TrialState.STOPPING_ERROR
        engine.push(trial, TrialState.STOPPING_ERROR if failing else TrialState.STOPPING_KILLED)


def on_cancel_trial(engine: Core, fact: facts.TrialCancelRequested) -> None:
    """Let one trial save and leave, for good; one that is over, or is killed already, stays as it is."""
    trial = engine.trials.get(fact.trial_id)
    if trial is not None:
        engine.push(trial, TrialState.STOPPING_CANCELED)
