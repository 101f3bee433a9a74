"""One group of units on its way into the database: pending rows, ids, and what the writer knows about live reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, select

from determined.storage.batch import Batch
from determined.storage.statements import RAISE_COUNTER
from determined.storage.tables import counters

_MAX_KNOWN: Final = 20_000


@dataclass(slots=True)
class TrialReports:
    """What decides whether a report is plainly new, and what it changes in its trial's summary.

    Attributes:
        run_id: the newest run that has reported.
        tips: largest steps that this run has reported, by group.
        older: largest steps among live reports of older runs, -1 when there are none.
        total, best_id, best, latest_id, latest, latest_steps: the summary as it is (or will be) in the trial's row.
    """

    experiment_id: int
    run_id: int = 0
    tips: dict[str, int] = field(default_factory=dict)
    older: int = -1
    total: int = 0
    best_id: int | None = None
    best: float | None = None
    latest_id: int | None = None
    latest: float | None = None
    latest_steps: int = -1


@dataclass(slots=True)
class Best:
    """An experiment's best trial."""

    trial_id: int | None
    metric: float | None


class Known:
    """The writer's memory between transactions: true only because there is one writer, and forgotten when it fails."""

    def __init__(self) -> None:
        self.trials: dict[int, TrialReports] = {}
        self.best: dict[int, Best] = {}
        self.counters: dict[str, int] | None = None

    def forget(self) -> None:
        """Believe nothing that is not in the database."""
        self.trials.clear()
        self.best.clear()
        self.counters = None

    def trim(self) -> None:
        """Stay bounded; called between transactions."""
        if len(self.trials) > _MAX_KNOWN:
            self.trials.clear()
        if len(self.best) > _MAX_KNOWN:
            self.best.clear()


class Transaction:
    """What the handlers of mutations work with."""

    def __init__(self, conn: Connection, known: Known) -> None:
        self.conn: Final = conn
        self.batch: Final = Batch(conn)
        self.known: Final = known
        if known.counters is None:
            known.counters = {row.name: row.used for row in conn.execute(select(counters))}
        self._counters: Final = known.counters
        self._raised: set[str] = set()

    def next_id(self, kind: str) -> int:
        """Take the next id of a kind."""
        taken = self._counters.get(kind, 0) + 1
        self.raise_counter(kind, taken)
        return taken

    def raise_counter(self, kind: str, used: int) -> None:
        """Remember that an id was used."""
        if used > self._counters.get(kind, 0):
            self._counters[kind] = used
            self._raised.add(kind)

    def finish(self) -> None:
        """Write everything that is pending; what is left to do is to commit."""
        for kind in self._raised:
            self.batch.add(RAISE_COUNTER, (kind, self._counters[kind]))
        self._raised.clear()
        self.batch.flush()

    def first(self, statement: Any) -> Any:
        """First row of a query, None when there is none. Pending rows are not seen."""
        return self.conn.execute(statement).first()
