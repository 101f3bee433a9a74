"""The contract of a search method, without files, processes or HTTP.

Handlers are called one at a time, in the order of the events, each event once. ``dispatch`` is the only
caller: the runner, the master's host for built-in methods and the simulator all go through it.
"""

from __future__ import annotations

import abc
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from determined.domain.events import (
    ExitCause,
    ExitedReason,
    InitialOperations,
    SearcherEvent,
    TrialClosed,
    TrialCreated,
    TrialExitedEarly,
    TrialProgress,
    ValidationCompleted,
)
from determined.domain.operations import Close, Create, Operation, Progress, Shutdown, ValidateAfter

_OPERATIONS = frozenset({Create, ValidateAfter, Close, Progress, Shutdown})


class SearcherState:
    """What the system knows of a search and tells every handler.

    Attributes:
        failures: trials that ended in error.
        trial_progress: latest raw length that each trial reported, in the experiment's unit.
        trials_closed, trials_created: request ids.
        last_event_id: newest event that has been handled; -1 before the first.
        experiment_completed: the experiment reached COMPLETED.
        experiment_id: None before the experiment exists.
    """

    failures: set[uuid.UUID]
    trial_progress: dict[uuid.UUID, float]
    trials_closed: set[uuid.UUID]
    trials_created: set[uuid.UUID]
    last_event_id: int
    experiment_completed: bool
    experiment_id: int | None

    def __init__(self) -> None:
        self.failures = set()
        self.trial_progress = {}
        self.trials_closed = set()
        self.trials_created = set()
        self.last_event_id = -1
        self.experiment_completed = False
        self.experiment_id = None

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON-able values, in the layout that search runners save."""
        return {
            "failures": sorted(str(r) for r in self.failures),
            "trialProgress": {str(r): p for r, p in self.trial_progress.items()},
            "trialsClosed": sorted(str(r) for r in self.trials_closed),
            "trialsCreated": sorted(str(r) for r in self.trials_created),
            "lastEventId": self.last_event_id,
            "experimentId": self.experiment_id,
            "experimentCompleted": self.experiment_completed,
        }

    def from_dict(self, d: Mapping[str, Any]) -> None:
        """Become the state that ``to_dict`` described.

        Raises:
            TypeError, ValueError: the mapping is not such a description; this state is then undefined.
        """
        self.failures = {uuid.UUID(r) for r in d.get("failures", [])}
        self.trial_progress = {uuid.UUID(r): float(p) for r, p in d.get("trialProgress", {}).items()}
        self.trials_closed = {uuid.UUID(r) for r in d.get("trialsClosed", [])}
        self.trials_created = {uuid.UUID(r) for r in d.get("trialsCreated", [])}
        self.last_event_id = int(d.get("lastEventId", -1))
        self.experiment_id = d.get("experimentId")
        self.experiment_completed = bool(d.get("experimentCompleted", False))


class SearchMethod(abc.ABC):
    """Decides which trials exist and how long each trains.

    Every handler but ``on_trial_progress`` and ``progress`` returns the operations to apply; ``[]`` for none. ``state``
    is up to date with the event when a handler is called, and must not be changed by it. Handlers run one at a time.

    Attributes:
        auto_shutdown: the search is ended for the method when every trial that it created is over, so it need not
            return ``Shutdown`` itself: as failed if all trials failed, as cancelled if all were stopped by somebody.
        deterministic: the same events always get the same answers from a new method that was made with the same
            arguments. Its state then need not be written at each step: it can be found again from the events. Such a
            method need not say how it is saved at all; its search is then resumed from the first event.
    """

    auto_shutdown: bool = False
    deterministic: bool = False

    @abc.abstractmethod
    def initial_operations(self, state: SearcherState) -> list[Operation]:
        """Start the search: usually a Create and a ValidateAfter for each of the first trials."""

    @abc.abstractmethod
    def on_trial_created(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        """React to the first start of a trial."""

    @abc.abstractmethod
    def on_validation_completed(
        self, state: SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[Operation]:
        """React to a completed operation.

        Args:
            request_id: the trial.
            metric: what the trial reported, usually a float; may be NaN or infinite.
            train_length: absolute length that was asked for, in the experiment's unit.
        """

    @abc.abstractmethod
    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        """React to the end of a trial, normal or not; the last that is heard of it."""

    def on_trial_progress(self, state: SearcherState, request_id: uuid.UUID, units: float) -> None:  # noqa: B027
        """Take note of how far a trial has come; ``progress`` is asked next.

        Args:
            units: raw length that the trial reported, in the experiment's unit; less than before when it has gone back
                to a checkpoint.
        """

    @abc.abstractmethod
    def progress(self, state: SearcherState) -> float:
        """Progress of the search, from 0 to 1."""

    @abc.abstractmethod
    def on_trial_exited_early(
        self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason
    ) -> list[Operation]:
        """React to a trial that ended without having been closed; ``on_trial_closed`` follows."""

    def summary(self) -> Mapping[str, Any] | None:
        """Where the search stands, for people: a few JSON-able values that cost nothing to tell, or None.

        The web UI shows it. It is asked for after the answer to a batch of events, for at most a fiftieth of the
        search's time. It changes nothing, and nothing is decided by it.
        """
        return None

    def snapshot(self) -> Mapping[str, Any] | None:
        """The method's own state as JSON-able values, or None when it has none to keep this way."""
        return None

    def restore(self, saved: Mapping[str, Any]) -> None:  # noqa: B027  # a method without a state has nothing to do
        """Become the method that ``snapshot`` described; called on a freshly constructed method."""


class InvalidMethodAnswer(TypeError):
    """A handler returned something that is not a list of operations."""


def apply_event(state: SearcherState, event: SearcherEvent) -> None:
    """Bring the state up to date with an event, before the handler sees it."""
    apply = _APPLY.get(type(event))
    if apply is not None:
        apply(state, event)


def dispatch(method: SearchMethod, state: SearcherState, event: SearcherEvent) -> list[Operation]:
    """Update the state, call the handler, and add the search's progress to its answer.

    Raises:
        InvalidMethodAnswer: the handler's answer is not a list of operations, or ``progress`` is no number.
    """
    return _HEAR[type(event)](method, state, event)


def _apply_progress(state: SearcherState, event: TrialProgress) -> None:
    state.trial_progress[event.request_id] = event.partial_units


def _apply_created(state: SearcherState, event: TrialCreated) -> None:
    state.trials_created.add(event.request_id)
    state.trial_progress[event.request_id] = 0.0


def _apply_closed(state: SearcherState, event: TrialClosed) -> None:
    state.trials_closed.add(event.request_id)


def _apply_exited(state: SearcherState, event: TrialExitedEarly) -> None:
    if event.cause is ExitCause.INVALID_HP:
        state.trial_progress.pop(event.request_id, None)
    elif event.cause is ExitCause.ERRORED:
        state.failures.add(event.request_id)


def _hear_start(method: SearchMethod, state: SearcherState, event: InitialOperations) -> list[Operation]:
    return _checked(method, "initial_operations", method.initial_operations(state))


def _hear_created(method: SearchMethod, state: SearcherState, event: TrialCreated) -> list[Operation]:
    _apply_created(state, event)
    return _checked(method, "on_trial_created", method.on_trial_created(state, event.request_id))


def hear_progress(method: SearchMethod, state: SearcherState, event: TrialProgress) -> list[Operation]:
    """``dispatch`` for the event that is by far the most frequent."""
    _apply_progress(state, event)
    method.on_trial_progress(state, event.request_id, event.partial_units)
    return [_progress(method, state)]


def _hear_validation(method: SearchMethod, state: SearcherState, event: ValidationCompleted) -> list[Operation]:
    answer = method.on_validation_completed(state, event.request_id, event.metric, event.length)
    operations = _checked(method, "on_validation_completed", answer)
    operations.append(_progress(method, state))
    return operations


def _hear_closed(method: SearchMethod, state: SearcherState, event: TrialClosed) -> list[Operation]:
    _apply_closed(state, event)
    operations = _checked(method, "on_trial_closed", method.on_trial_closed(state, event.request_id))
    operations.append(_progress(method, state))
    return operations


def _hear_exited(method: SearchMethod, state: SearcherState, event: TrialExitedEarly) -> list[Operation]:
    _apply_exited(state, event)
    answer = method.on_trial_exited_early(state, event.request_id, event.cause.reason)
    operations = _checked(method, "on_trial_exited_early", answer)
    operations.append(_progress(method, state))
    return operations


_APPLY: Mapping[type[Any], Callable[[SearcherState, Any], None]] = {
    TrialProgress: _apply_progress,
    TrialCreated: _apply_created,
    TrialClosed: _apply_closed,
    TrialExitedEarly: _apply_exited,
}
_HEAR: Mapping[type[Any], Callable[[SearchMethod, SearcherState, Any], list[Operation]]] = {
    InitialOperations: _hear_start,
    TrialCreated: _hear_created,
    TrialProgress: hear_progress,
    ValidationCompleted: _hear_validation,
    TrialClosed: _hear_closed,
    TrialExitedEarly: _hear_exited,
}


def _checked(method: SearchMethod, handler: str, answer: object) -> list[Operation]:
    """A list of its own with the operations of an answer."""
    if type(answer) is not list and (isinstance(answer, (str, bytes)) or not isinstance(answer, Iterable)):
        name = f"{type(method).__name__}.{handler}"
        raise InvalidMethodAnswer(f"{name} returned {answer!r}; return a list of operations, [] for none")
    operations = list(answer)
    if _OPERATIONS.issuperset(map(type, operations)):
        return operations
    stranger = next(op for op in operations if type(op) not in _OPERATIONS)
    name, allowed = f"{type(method).__name__}.{handler}", ", ".join(sorted(o.__name__ for o in _OPERATIONS))
    raise InvalidMethodAnswer(f"{name} returned {stranger!r} among its operations (allowed: {allowed})")


def _progress(method: SearchMethod, state: SearcherState) -> Progress:
    value = method.progress(state)
    try:
        return Progress(value if type(value) is float else float(value))
    except (TypeError, ValueError, OverflowError):
        raise InvalidMethodAnswer(
            f"{type(method).__name__}.progress returned {value!r}; return a finite number from 0 to 1"
        ) from None
