"""Search operations and events as JSON, for the SDK, the master and the journal alike.

Reading is strict: whatever is not exactly an operation is refused with the place and the reason, because an
operation that is dropped silently leaves a search waiting for ever. A batch is all or nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

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
from determined.domain.operations import Close, Create, Operation, Progress, Shutdown, ValidateAfter
from determined.domain.reasons import Explanation, numbers_of
from determined.domain.states import ExperimentState
from determined.errors import InvalidInput, InvalidOperations
from determined.wire.searcher_fields import Fields, integer, one_of, show
from determined.wire.values import protect, restore

MAX_OPERATIONS = 250_000
_KINDS = ("createTrial", "trialOperation", "closeTrial", "setSearcherProgress", "shutDown")


@dataclass(frozen=True)
class Inactive:
    """The master's notice that the experiment takes no operations now; never queued, so its id is -1."""

    state: ExperimentState


def operation_to_json(op: Operation) -> dict[str, Any]:
    """The operation as the object that goes on the wire and into the journal."""
    if isinstance(op, Create):
        body: dict[str, Any] = {"requestId": str(op.request_id), "hyperparams": op.hparams}
        if op.checkpoint is not None:
            body["sourceCheckpointUuid"] = op.checkpoint
        if op.source_trial is not None:
            body["sourceTrialRequestId"] = str(op.source_trial)
        return {"createTrial": _with_reason(body, op.reason)}
    if isinstance(op, ValidateAfter):
        body = {"requestId": str(op.request_id), "length": str(op.length)}
        return {"trialOperation": {"validateAfter": _with_reason(body, op.reason)}}
    if isinstance(op, Close):
        return {"closeTrial": _with_reason({"requestId": str(op.request_id)}, op.reason)}
    if isinstance(op, Progress):
        return {"setSearcherProgress": {"progress": op.progress}}
    return {"shutDown": _with_reason({"cancel": op.cancel, "failure": op.failure}, op.reason)}


def operation_from_json(obj: Any, index: int = 0) -> Operation:
    """The operation that an object describes.

    Args:
        obj: parsed JSON, field names in camelCase or snake_case.
        index: position in its batch, for the message.
    Raises:
        InvalidOperations: anything in it is malformed; the message names index and field.
    """
    place = f"searcherOperations[{index}]"
    kind, body = one_of(obj, _KINDS, place, _refuse)
    if kind == "trialOperation":
        place = f"{place}.{kind}"
        kind, body = one_of(body, ("validateAfter",), place, _refuse)
    fields = Fields(body, f"{place}.{kind}", _refuse)
    if kind == "createTrial":
        source = fields.checkpoint()
        return Create(fields.request_id(), fields.hparams(), source, fields.reason(), fields.source_trial())
    if kind == "validateAfter":
        return ValidateAfter(fields.request_id(), fields.length("length"), fields.reason())
    if kind == "closeTrial":
        return Close(fields.request_id(), fields.reason())
    if kind == "setSearcherProgress":
        return Progress(fields.progress())
    return Shutdown(fields.flag("cancel"), fields.flag("failure"), fields.reason())


def operations_from_json(objs: Any) -> list[Operation]:
    """A whole batch, or nothing of it.

    Raises:
        InvalidOperations: it is no list, is too long, or one of its members is malformed.
    """
    if not isinstance(objs, list):
        raise InvalidOperations(f"searcherOperations: must be a list of operations, got {show(objs)}")
    if len(objs) > MAX_OPERATIONS:
        raise InvalidOperations(
            f"searcherOperations: {len(objs)} operations in one batch (allowed: {MAX_OPERATIONS}); "
            "create the other trials in answer to later events"
        )
    return [operation_from_json(obj, index) for index, obj in enumerate(objs)]


def operations_digest(ops: Iterable[Operation]) -> str:
    """A short text that is equal for equal batches, however their numbers and keys were written."""
    digest = hashlib.sha256()
    for op in ops:
        digest.update(json.dumps(_canonical(op), sort_keys=True, separators=(",", ":")).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def event_to_json(event_id: int, event: SearcherEvent | Inactive) -> dict[str, Any]:
    """An event of the queue as the object that search runners read; exactly one kind per object."""
    if isinstance(event, Inactive):
        return {"id": event_id, "experimentInactive": {"experimentState": f"STATE_{event.state.value}"}}
    if isinstance(event, InitialOperations):
        return {"id": event_id, "initialOperations": {"placeholder": 0}}
    body: dict[str, Any] = {"requestId": str(event.request_id)}
    if isinstance(event, TrialProgress):
        body["partialUnits"] = protect(event.partial_units)
    elif isinstance(event, ValidationCompleted):
        body["metric"] = protect(event.metric)
        body["validateAfterLength"] = str(event.length)
    elif isinstance(event, TrialExitedEarly):
        body["exitedReason"] = _REASON_OF_CAUSE[event.cause]
        body["cause"] = event.cause.value
    return {"id": event_id, _EVENT_KEYS[type(event)]: body}


def event_from_json(obj: Any) -> tuple[int, SearcherEvent | Inactive]:
    """The id and the event that an object describes.

    Raises:
        InvalidInput: it is no event that we know.
    """
    number = obj.get("id") if isinstance(obj, Mapping) else None
    event_id = integer(number)
    if event_id is None:
        raise InvalidInput(f"event: id must be an integer, got {show(number)}")
    place = f"event {event_id}"
    # Keys that we do not know are left alone: a newer master may say more about an event than we read.
    kind, body = one_of(obj, (*_EVENT_KEYS.values(), "experimentInactive"), place, _bad_event, strict=False)
    if kind == "initialOperations":
        return event_id, InitialOperations()
    fields = Fields(body, f"{place}: {kind}", _bad_event)
    if kind == "experimentInactive":
        return event_id, Inactive(_experiment_state(fields))
    return event_id, _trial_event(kind, fields)


_EVENT_KEYS: Mapping[type[SearcherEvent], str] = {
    InitialOperations: "initialOperations",
    TrialCreated: "trialCreated",
    TrialProgress: "trialProgress",
    ValidationCompleted: "validationCompleted",
    TrialExitedEarly: "trialExitedEarly",
    TrialClosed: "trialClosed",
}
# Clients in the field fail on EXITED_REASON_USER_CANCELED, so it is read but never sent.
_REASON_OF_CAUSE: Mapping[ExitCause, str] = {
    ExitCause.ERRORED: "EXITED_REASON_UNSPECIFIED",
    ExitCause.KILLED: "EXITED_REASON_USER_REQUESTED_STOP",
    ExitCause.STOPPED_ITSELF: "EXITED_REASON_USER_REQUESTED_STOP",
    ExitCause.INVALID_HP: "EXITED_REASON_INVALID_HP",
}
_CAUSE_OF_REASON: Mapping[str, ExitCause] = {
    "EXITED_REASON_UNSPECIFIED": ExitCause.ERRORED,
    "EXITED_REASON_USER_REQUESTED_STOP": ExitCause.STOPPED_ITSELF,
    "EXITED_REASON_USER_CANCELED": ExitCause.KILLED,
    "EXITED_REASON_INVALID_HP": ExitCause.INVALID_HP,
    "EXITED_REASON_INIT_INVALID_HP": ExitCause.INVALID_HP,
}


def _refuse(place: str, message: str) -> NoReturn:
    raise InvalidOperations(f"{place}: {message}; nothing of the batch was applied")


def _bad_event(place: str, message: str) -> NoReturn:
    raise InvalidInput(f"{place}: {message}")


def _trial_event(kind: str, fields: Fields) -> SearcherEvent:
    request_id = fields.request_id()
    if kind == "trialCreated":
        return TrialCreated(request_id)
    if kind == "trialClosed":
        return TrialClosed(request_id)
    if kind == "trialProgress":
        return TrialProgress(request_id, _units(fields))
    if kind == "trialExitedEarly":
        return TrialExitedEarly(request_id, _cause(fields))
    metric = restore(fields.get("metric"))
    if metric is None:
        fields.wrong("metric", "must not be null")
    return ValidationCompleted(request_id, metric, fields.length("validateAfterLength"))


def _units(fields: Fields) -> float:
    # Fields at their default are left out by some writers, so absent means zero here.
    value = restore(fields.get("partialUnits") or 0)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        fields.wrong("partialUnits", f"must be a number, got {show(value)}")
    return float(value)


def _cause(fields: Fields) -> ExitCause:
    # Ours says more than the compatible reason can: who stopped the trial.
    exact = fields.get("cause")
    if isinstance(exact, str) and exact in ExitCause.__members__:
        return ExitCause[exact]
    name = fields.get("exitedReason")
    cause = _CAUSE_OF_REASON.get(name) if isinstance(name, str) else None
    if cause is None:
        fields.wrong("exitedReason", f"must be one of {', '.join(_CAUSE_OF_REASON)}, got {show(name)}")
    return cause


def _experiment_state(fields: Fields) -> ExperimentState:
    name = fields.get("experimentState")
    try:
        return ExperimentState(str(name).removeprefix("STATE_"))
    except ValueError:
        fields.wrong("experimentState", f"is no state of an experiment: {show(name)}")


def _with_reason(body: dict[str, Any], reason: str | Explanation | None) -> dict[str, Any]:
    if reason is None:
        return body
    numbers = numbers_of(reason)
    more = {"reasonNumbers": protect(dict(numbers))} if numbers else {}
    return {**body, "reason": str(reason), **more}


def _canonical(op: Operation) -> dict[str, Any]:
    if isinstance(op, Progress):
        return {"progress": float(op.progress)}
    described = operation_to_json(op)
    if isinstance(op, Create):
        described["createTrial"]["hyperparams"] = json.loads(op.hparams)
    return described
