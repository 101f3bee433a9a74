"""Journal rows: facts as JSON with a format version, readable for as long as the project lives."""

from __future__ import annotations

from typing import Any

import msgspec

from determined.domain import facts
from determined.domain.facts import KIND_OF, KINDS, Fact
from determined.domain.ids import ExperimentId, TrialId
from determined.domain.records import JournalRow
from determined.errors import CorruptState
from determined.wire.searcher import operation_to_json, operations_from_json
from determined.wire.values import protect, restore

FORMAT = 1
_encoder = msgspec.json.Encoder()


def to_row(experiment_id: ExperimentId, seq: int, fact: Fact) -> JournalRow:
    """The row that records a fact."""
    return JournalRow(
        experiment_id=experiment_id,
        seq=seq,
        at=fact.at,
        kind=KIND_OF[type(fact)],
        format=FORMAT,
        body=_encode(fact),
    )


def from_row(row: JournalRow) -> Fact:
    """The fact that a row records.

    Raises:
        CorruptState: the kind or the format is unknown to this version, or the body is damaged.
    """
    if row.format != FORMAT or row.kind not in KINDS:
        raise CorruptState(
            f"journal row {row.seq} of experiment {row.experiment_id} is {row.kind!r} in format {row.format}; "
            f"this version reads format {FORMAT}: upgrade it"
        )
    try:
        return _decode(row.kind, row.body)
    except (msgspec.MsgspecError, ValueError, KeyError) as e:
        raise CorruptState(f"journal row {row.seq} of experiment {row.experiment_id} is damaged: {e}") from e


def _encode(fact: Fact) -> bytes:
    if isinstance(fact, facts.OperationsPosted):
        body: dict[str, Any] = {
            "at": fact.at,
            "operations": [operation_to_json(op) for op in fact.operations],
            "trigger": fact.trigger,
            "first_trial_id": fact.first_trial_id,
            "digest": fact.digest,
        }
        return _encoder.encode(body)
    if isinstance(fact, facts.OperationCompleted):
        fact = msgspec.structs.replace(fact, metric=protect(fact.metric))
    return _encoder.encode(fact)


def _decode(kind: str, data: bytes) -> Fact:
    cls = KINDS[kind]
    if cls is facts.OperationsPosted:
        body = msgspec.json.decode(data)
        return facts.OperationsPosted(
            at=body["at"],
            operations=tuple(operations_from_json(body["operations"])),
            trigger=body["trigger"],
            first_trial_id=TrialId(body["first_trial_id"]),
            digest=body["digest"],
        )
    fact: Fact = msgspec.json.decode(data, type=cls)
    if isinstance(fact, facts.OperationCompleted):
        return msgspec.structs.replace(fact, metric=restore(fact.metric))
    return fact
