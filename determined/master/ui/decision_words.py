"""Entries of a search's log in words and numbers, for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from determined.domain.records import EventRow, JournalRow
from determined.master.ui.search_log import Entry, SearchLog, operations_of
from determined.wire.decisions import event_in, operation_in
from determined.wire.values import restore

MAX_OPERATIONS: Final = 50
"""Operations that are shown of one answer; a search may begin with thousands."""
Json = Mapping[str, Any]
_KINDS: Final = {
    "createTrial": "Create",
    "validateAfter": "ValidateAfter",
    "closeTrial": "Close",
    "shutDown": "Shutdown",
}
_EXITS: Final = {
    "ERRORED": "failed",
    "KILLED": "was killed",
    "STOPPED_ITSELF": "stopped by itself",
    "INVALID_HP": "said that its hyperparameters are invalid",
}


def described(
    log: SearchLog,
    entries: Sequence[Entry],
    facts: Sequence[JournalRow],
    events: Sequence[EventRow],
    unit: str,
    trial: int | None = None,
) -> list[Json]:
    """Entries as the web UI shows them.

    Args:
        facts: those that the entries name.
        events: those that the entries name.
        unit: of lengths, "" for none.
        trial: whose operations come before all others of an answer, None for no one's.
    """
    facts_by_seq = {row.seq: row for row in facts}
    events_by_id = {row.id: row for row in events}
    return [_described(log, e, facts_by_seq, events_by_id.get(e.event), unit, trial) for e in entries]


def _described(
    log: SearchLog,
    entry: Entry,
    facts: Mapping[int, JournalRow],
    event: EventRow | None,
    unit: str,
    trial: int | None,
) -> Json:
    answer, cause = facts.get(entry.batch_seq), facts.get(entry.cause_seq)
    kind, said = "posted", "operations were posted without an event"
    if cause is not None and event is not None:
        kind, body = event_in(msgspec.json.decode(event.body))
        said = _SAID[kind](f"#{entry.trial}", body, unit)
    operations = [] if answer is None else operations_of(answer, entry)
    if trial is not None:
        operations.sort(key=lambda op: log.trial_of(operation_in(op)[1].get("requestId", "")) != trial)
    at = answer or cause
    return {
        "number": entry.number,
        "event": entry.event,
        "at": None if at is None else at.at,
        "kind": kind,
        "trial": entry.trial or None,
        "said": said,
        "operations": [_operation(log, *operation_in(op)) for op in operations[:MAX_OPERATIONS]],
        "more": max(len(operations) - MAX_OPERATIONS, 0),
    }


def _operation(log: SearchLog, kind: str, body: Json) -> Json:
    return {
        "kind": _KINDS.get(kind, kind),
        "trial": log.trial_of(body.get("requestId", "")) or None,
        "length": int(body["length"]) if "length" in body else None,
        "reason": body.get("reason") or "",
        "numbers": body.get("reasonNumbers") or {},
    }


def _validated(trial: str, body: Json, unit: str) -> str:
    length, metric = int(body["validateAfterLength"]), restore(body.get("metric"))
    shown = f"{metric:.6g}" if isinstance(metric, float) else str(metric)[:80]
    return f"{trial} reached {length}{_unit(length, unit)} with {shown}"


def _progressed(trial: str, body: Json, unit: str) -> str:
    units = restore(body.get("partialUnits") or 0)
    return f"{trial} has come to {units:g}{_unit(units, unit)}"


def _unit(length: float, unit: str) -> str:
    return f" {_ONE.get(unit, unit) if length == 1 else unit}" if unit else ""


_ONE: Final = {"batches": "batch", "records": "record", "epochs": "epoch"}
_SAID: Final[Mapping[str, Callable[[str, Json, str], str]]] = {
    "initialOperations": lambda trial, body, unit: "the search began",
    "trialCreated": lambda trial, body, unit: f"{trial} started",
    "trialProgress": _progressed,
    "validationCompleted": _validated,
    "trialExitedEarly": lambda trial, body, unit: f"{trial} {_EXITS.get(str(body.get('cause')), 'ended early')}",
    "trialClosed": lambda trial, body, unit: f"{trial} was over",
}
