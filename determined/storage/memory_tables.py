"""The tables of the in-memory store: plain dictionaries with an undo list, so that a unit can be taken back."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

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

K = TypeVar("K")
V = TypeVar("V")

_ABSENT: Final = object()


class Tables:
    """Every row, by its key; changed through ``put`` and ``drop`` only.

    Rows that belong to a trial or an experiment are kept in a dictionary per owner, as the queries need them.
    """

    def __init__(self) -> None:
        self.users: dict[int, User] = {}
        self.tokens: dict[str, Token] = {}
        self.experiments: dict[int, Experiment] = {}
        self.by_client_key: dict[tuple[int, str], int] = {}
        self.trials: dict[int, Trial] = {}
        self.trials_of: dict[int, dict[int, None]] = {}
        self.by_request: dict[tuple[int, uuid.UUID], int] = {}
        self.runs: dict[str, Run] = {}
        self.runs_of: dict[int, dict[str, None]] = {}
        self.metrics: dict[int, Metrics] = {}
        self.metrics_of: dict[int, dict[int, None]] = {}
        self.by_report: dict[tuple[int, int, str, int], int] = {}
        self.checkpoints: dict[str, Checkpoint] = {}
        self.checkpoints_of: dict[int, dict[str, None]] = {}
        self.logs_of: dict[int, dict[int, LogRecord]] = {}
        self.journal_of: dict[int, dict[int, JournalRow]] = {}
        self.events_of: dict[int, dict[int, EventRow]] = {}
        self.batches_of: dict[int, dict[int, str]] = {}
        self.parts_of: dict[int, dict[str, tuple[int, bytes]]] = {}
        self.high: dict[str, int] = {}
        """Largest id ever used, by kind; outlives the rows."""
        self._undo: list[Callable[[], object]] = []

    def put(self, table: dict[K, V], key: K, value: V) -> None:
        """Insert or replace one row."""
        old: Any = table.get(key, _ABSENT)
        if old is _ABSENT:
            self._undo.append(lambda: table.pop(key))
        else:
            self._undo.append(lambda: table.__setitem__(key, old))
        table[key] = value

    def drop(self, table: dict[K, V], key: K) -> None:
        """Remove one row, if it is there. Taken back, it is the last of the table: readers sort."""
        if key in table:
            value = table.pop(key)
            self._undo.append(lambda: table.__setitem__(key, value))

    def add_to(self, table: dict[K, dict[Any, V]], owner: K, key: Any, value: V) -> None:
        """Insert or replace one row in the dictionary of its owner."""
        if owner not in table:
            self.put(table, owner, {})
        self.put(table[owner], key, value)

    def raise_high(self, kind: str, used: int) -> None:
        """Remember that an id was used."""
        if used > self.high.get(kind, 0):
            self.put(self.high, kind, used)

    def next_id(self, kind: str) -> int:
        """Take the next id of a kind."""
        taken = self.high.get(kind, 0) + 1
        self.put(self.high, kind, taken)
        return taken

    def reports(self, trial_id: int) -> Iterable[Metrics]:
        """Reports of a trial, archived ones too, by id."""
        return (self.metrics[i] for i in sorted(self.metrics_of.get(trial_id, ())))

    def keep(self) -> None:
        """The unit is complete."""
        self._undo.clear()

    def take_back(self) -> None:
        """Undo everything since the last ``keep``."""
        while self._undo:
            self._undo.pop()()
