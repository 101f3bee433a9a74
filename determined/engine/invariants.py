"""What is true of an engine between any two facts. For tests, and for whoever suspects a defect."""

from __future__ import annotations

from collections.abc import Iterator

from determined.domain.states import STOPPING_SEVERITY, ExperimentState, RunPhase, TrialState
from determined.engine.experiment import Experiment
from determined.engine.trial import LiveRun, Trial

_KILLED_IN = (TrialState.STOPPING_KILLED, TrialState.STOPPING_ERROR)
_ASKED_IN = (TrialState.PAUSED, TrialState.STOPPING_CANCELED)


def check(engine: Experiment) -> list[str]:
    """What is wrong, in words; empty when all is well. Cost: O(trials)."""
    broken = list(_head(engine))
    for trial_id, trial in engine.trials.items():
        if trial.id != trial_id or engine.index.get(trial.request_id) != trial_id:
            broken.append(f"trial {trial_id} is filed under a wrong id")
        broken += (f"trial {trial_id}: {text}" for text in _trial(engine, trial))
    return broken


def _head(engine: Experiment) -> Iterator[str]:
    state = engine.state
    if not 0 <= engine.answered <= engine.last_event:
        yield f"event {engine.answered} is answered, but {engine.last_event} is the newest"
    if engine.progress is not None and not 0.0 <= engine.progress <= 1.0:
        yield f"progress is {engine.progress}"
    if state is ExperimentState.COMPLETED and engine.progress != 1.0:
        yield f"it is completed with progress {engine.progress}"
    if state.is_terminal and engine.trials:
        yield f"it is {state.value}, but {len(engine.trials)} trials are alive"
    if state.is_terminal != (engine.ended_at is not None):
        yield f"it is {state.value} and ended at {engine.ended_at}"
    if state.is_stopping and not engine.trials:
        yield f"it is {state.value} and waits for nobody"
    if len(set(engine.index.values())) != len(engine.index):
        yield "two request ids have one trial"
    if not engine.dirty.keys() <= set(engine.index.values()):
        yield "a trial is to be saved that never was"


def _trial(engine: Experiment, trial: Trial) -> Iterator[str]:
    state = trial.state
    if state.is_terminal:
        yield f"is {state.value} and still listed"
    if not state.is_stopping and state.value != engine.state.value:
        yield f"is {state.value} in an experiment that is {engine.state.value}"
    if engine.state.is_stopping and STOPPING_SEVERITY.get(state, 0) < STOPPING_SEVERITY[TrialState(engine.state.value)]:
        yield f"is {state.value}, less than its experiment's {engine.state.value}"
    if trial.complete and trial.closed and not state.is_stopping:
        yield "has no work, gets none, and does not stop"
    if trial.length is None and not trial.complete:
        yield "has work of no length"
    if trial.restarts > engine.settings.max_restarts:
        yield f"is alive after {trial.restarts} restarts of {engine.settings.max_restarts}"
    if trial.announced != (trial.runs > 0):
        yield f"is {'' if trial.announced else 'not '}announced after {trial.runs} runs"
    if trial.wants_run:
        yield "wants a run and waits for none"
    if trial.run is None:
        if state.is_stopping:
            yield f"is {state.value} without a run, and not over"
    else:
        yield from _run(trial, trial.run)


def _run(trial: Trial, run: LiveRun) -> Iterator[str]:
    name = f"run {run.run_id}"
    if run.phase is RunPhase.QUEUED:
        if run != LiveRun(run.run_id):
            yield f"{name} waits for slots, but things have happened to it: {run}"
        if run.run_id != trial.runs + 1:
            yield f"{name} waits for slots after run {trial.runs}"
        if trial.state is not TrialState.ACTIVE or trial.complete:
            yield f"{name} waits for slots for nothing"
        return
    if run.run_id != trial.runs:
        yield f"{name} has a process, but {trial.runs} is the newest"
    if trial.state in _KILLED_IN and not run.killed:
        yield f"is {trial.state.value}, but {name} is not killed"
    if trial.state in _ASKED_IN and not (run.killed or run.preempted):
        yield f"is {trial.state.value}, but {name} is not asked to exit"
