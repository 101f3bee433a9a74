"""Records to rows and back, so that no other place knows how a field looks in a table."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar

import msgspec
from sqlalchemy import Table

from determined.domain.records import (
    Checkpoint,
    EventRow,
    Experiment,
    JournalRow,
    LogRecord,
    Metrics,
    Run,
    Token,
    Trial,
    User,
)
from determined.domain.states import CheckpointState, ExperimentState, RunPhase, TrialState
from determined.storage import tables

R = TypeVar("R", bound=msgspec.Struct)

Row = tuple[Any, ...]
_Special = tuple[Callable[[Any], Any], Callable[[Any], Any]]


class Codec(Generic[R]):
    """One kind of record and its table, whose columns bear the names of the record's fields."""

    def __init__(self, record: type[R], table: Table, special: Mapping[str, _Special] | None = None) -> None:
        self.record: Final = record
        self.table: Final = table
        self.fields: Final = tuple(c.name for c in table.columns)
        assert set(self.fields) == set(record.__struct_fields__), f"{table.name} differs from {record.__name__}"
        self._values: Callable[[R], Row] = attrgetter(*self.fields)
        self._special = [(self.fields.index(name), both) for name, both in (special or {}).items()]

    def encode(self, record: R) -> Row:
        """The record's row."""
        values = self._values(record)
        if not self._special:
            return values
        row = list(values)
        for index, (encode, _) in self._special:
            row[index] = encode(row[index])
        return tuple(row)

    def decode(self, row: Sequence[Any]) -> R:
        """The record of a row that was selected with the record's columns first."""
        values = list(row[: len(self.fields)])
        for index, (_, decode) in self._special:
            values[index] = decode(values[index])
        return self.record(**dict(zip(self.fields, values, strict=True)))


def encode_labels(labels: Iterable[str]) -> str:
    """One JSON string a line, each line with a line feed on both sides: a label is found with ``label_line``."""
    lines = [msgspec.json.encode(label).decode() for label in labels]
    return "\n".join(["", *lines, ""]) if lines else ""


def label_line(label: str) -> str:
    """What ``encode_labels`` contains exactly when it was given this label."""
    return f"\n{msgspec.json.encode(label).decode()}\n"


def decode_labels(text: str) -> tuple[str, ...]:
    """Undo ``encode_labels``."""
    return tuple(msgspec.json.decode(line, type=str) for line in text.split("\n") if line)


def _optional(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else convert(value)


_VALUE: Final = attrgetter("value")
_SLOTS: Final = msgspec.json.Decoder(tuple[int, ...])

USER: Final = Codec(User, tables.users)
TOKEN: Final = Codec(Token, tables.tokens)
EXPERIMENT: Final = Codec(
    Experiment,
    tables.experiments,
    {
        "state": (_VALUE, ExperimentState),
        "labels": (encode_labels, decode_labels),
        # NULLs are all different to a unique constraint, empty texts are not.
        "client_key": (lambda key: key or None, lambda key: key or ""),
    },
)
TRIAL: Final = Codec(
    Trial,
    tables.trials,
    {
        "request_id": (str, uuid.UUID),
        "state": (_VALUE, TrialState),
        "phase": (_optional(_VALUE), _optional(RunPhase)),
    },
)
RUN: Final = Codec(Run, tables.runs, {"slot_ids": (lambda ids: msgspec.json.encode(ids).decode(), _SLOTS.decode)})
METRICS: Final = Codec(Metrics, tables.metrics)
CHECKPOINT: Final = Codec(Checkpoint, tables.checkpoints, {"state": (_VALUE, CheckpointState)})
LOG: Final = Codec(LogRecord, tables.logs)
JOURNAL: Final = Codec(JournalRow, tables.journal)
EVENT: Final = Codec(EventRow, tables.events)
