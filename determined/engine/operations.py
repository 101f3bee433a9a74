"""What the answers of a search method do. A batch is checked as a whole before anything of it is applied."""

from __future__ import annotations

from collections.abc import Sequence

from determined.domain import facts
from determined.domain.ids import RequestId, TrialId
from determined.domain.operations import Close, Create, Operation, Progress, Shutdown, ValidateAfter
from determined.domain.states import ExperimentState, TrialState
from determined.engine import effects as fx
from determined.engine.core import Core
from determined.engine.trial import Trial
from determined.errors import FailedPrecondition, InvalidOperations


class AlreadyAnswered(FailedPrecondition):
    """The triggering event was acknowledged before; compare with what was posted then."""

    def __init__(self, trigger: int) -> None:
        self.trigger = trigger
        super().__init__(f"event {trigger} has been answered already")


def on_operations(engine: Core, fact: facts.OperationsPosted) -> None:
    """Acknowledge events, and apply the operations if the search still runs."""
    if engine.state.is_terminal:
        return
    is_running = engine.state.is_running
    if fact.trigger is not None:
        _check_trigger(engine, fact.trigger)
    if is_running:
        _check_batch(engine, fact.operations)
    if fact.trigger is not None:
        engine.answered = fact.trigger
        engine.out.rest.append(fx.EventsAcknowledged(fact.trigger))
    if is_running:
        _apply(engine, fact.operations, fact.first_trial_id)


def _check_trigger(engine: Core, trigger: int) -> None:
    if not 1 <= trigger <= engine.last_event:
        first, last = engine.answered + 1, engine.last_event
        allowed = f"{first} to {last}" if first <= last else "none, all are answered"
        raise InvalidOperations(
            f"triggeredByEvent.id {trigger} is not an event of experiment {engine.settings.experiment_id} "
            f"(allowed: {allowed}); fetch its events and answer one of them"
        )
    if trigger <= engine.answered:
        raise AlreadyAnswered(trigger)


def _check_batch(engine: Core, operations: Sequence[Operation]) -> None:
    seen: set[RequestId] = set()
    for i, op in enumerate(operations):
        if type(op) is not Create:
            continue
        if op.request_id in engine.index or (seen and op.request_id in seen):
            raise InvalidOperations(
                f"operation {i}: a trial with request id {op.request_id} exists already; "
                "use a fresh uuid for each Create"
            )
        if op.source_trial is not None and op.source_trial not in engine.index:
            raise InvalidOperations(
                f"operation {i}: there is no trial with request id {op.source_trial} to start from; "
                "name one that was created in an earlier batch"
            )
        seen.add(op.request_id)


def _apply(engine: Core, operations: Sequence[Operation], first_trial_id: TrialId) -> None:
    """In order; trials come to rest, and the search ends, only after the whole batch."""
    touched: dict[TrialId, Trial] = {}
    next_id = int(first_trial_id)
    shutdown: Shutdown | None = None
    for op in operations:
        if isinstance(op, Progress):
            _set_progress(engine, op.progress)
        elif shutdown is not None:
            continue
        elif isinstance(op, Create):
            _add_trial(engine, op, TrialId(next_id))
            next_id += 1
        elif isinstance(op, Shutdown):
            shutdown = op
        else:
            trial = _find_open(engine, op.request_id)
            if trial is not None:
                _order(engine, trial, op)
                touched[trial.id] = trial
    for trial in touched.values():
        engine.out.woken[trial.id] = None
        engine.settle(trial)
    if shutdown is not None:
        _shut_down(engine, shutdown)


def _set_progress(engine: Core, progress: float) -> None:
    clamped = min(max(float(progress), 0.0), 1.0)
    if clamped != engine.progress:
        engine.progress = clamped
        engine.out.experiment_changed = True


def _add_trial(engine: Core, op: Create, trial_id: TrialId) -> None:
    source = op.checkpoint if op.source_trial is None else engine.newest_checkpoint(op.source_trial)
    warm_start = source or engine.settings.warm_start
    trial = Trial(trial_id, op.request_id, TrialState(engine.state.value), warm_start)
    engine.trials[trial_id] = engine.dirty[trial_id] = trial
    engine.index[op.request_id] = trial_id
    engine.out.added.append(fx.TrialAdded(trial_id, op.request_id, op.hparams, warm_start, trial.state))


def _find_open(engine: Core, request_id: RequestId) -> Trial | None:
    """The trial of this id, if it can still be given work.

    Operations for a trial that has ended or is ending, or never was, are ignored: the search method may have posted
    them before it could hear of the end. A process that is about to exit would take up new work or miss it by chance.
    """
    trial_id = engine.index.get(request_id)
    trial = None if trial_id is None else engine.trials.get(trial_id)
    return None if trial is None or trial.state.is_stopping else trial


def _order(engine: Core, trial: Trial, op: ValidateAfter | Close) -> None:
    if isinstance(op, ValidateAfter):
        trial.length, trial.complete = op.length, False
    else:
        trial.closed = True
    engine.mark_changed(trial)


def _shut_down(engine: Core, op: Shutdown) -> None:
    if op.failure:
        engine.message = str(op.reason or "") or "the search method ended the search as failed"
        engine.enter(ExperimentState.STOPPING_ERROR)
    else:
        engine.enter(ExperimentState.STOPPING_CANCELED if op.cancel else ExperimentState.STOPPING_COMPLETED)
