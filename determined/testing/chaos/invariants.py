"""What holds at every moment of a search, whatever has just died: read from the data base, beside the master."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from determined.domain.states import TrialState

_TERMINAL = frozenset(state.value for state in TrialState if state.is_terminal)


class Violated(Exception):
    """Something that must hold does not; the message says what."""


class Invariants:
    """Remembers what it saw, since some things may only grow."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._events: dict[int, list[str]] = {}
        self._journal: dict[int, int] = {}
        self._ended: dict[int, str] = {}

    def check(self) -> None:
        """Look once.

        Raises:
            Violated: naming what does not hold.
        """
        if not self._database.exists():
            return
        with closing(self._open()) as db:
            try:
                self._check(db)
            except sqlite3.OperationalError as error:
                # A master that is being made has no tables yet.
                if "no such table" not in str(error):
                    raise

    def experiment_of(self, search: str) -> int:
        """The experiment of a search; 0 when there is none yet.

        Raises:
            Violated: there are several.
        """
        if not self._database.exists():
            return 0
        with closing(self._open()) as db:
            try:
                found = db.execute("SELECT id FROM experiments WHERE name = ?", (f"chaos {search}",)).fetchall()
            except sqlite3.OperationalError:
                return 0
        if len(found) > 1:
            raise Violated(f"the search {search} has {len(found)} experiments")
        return int(found[0][0]) if found else 0

    def stopping_trials(self) -> set[int]:
        """Trials whose work is complete, and which are on their way out."""
        with closing(self._open()) as db:
            return {n for (n,) in db.execute("SELECT id FROM trials WHERE state LIKE 'STOPPING%'")}

    def uncollected(self) -> bool:
        """Whether checkpoints that are not kept are still to be deleted."""
        with closing(self._open()) as db:
            return bool(db.execute("SELECT 1 FROM experiments WHERE uncollected").fetchall())

    def repeated(self, experiment: int, begins: str) -> int:
        """How many units of training were done more than once."""
        query = (
            "SELECT trial_id, text FROM logs JOIN trials ON trials.id = trial_id "
            "WHERE experiment_id = ? AND text LIKE ?"
        )
        with closing(self._open()) as db:
            lines = Counter(db.execute(query, (experiment, f"{begins}%")).fetchall())
        return sum(count - 1 for count in lines.values())

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{self._database}?mode=ro", uri=True, timeout=30)

    def _check(self, db: sqlite3.Connection) -> None:
        db.execute("BEGIN")
        for experiment, name in db.execute("SELECT id, name FROM experiments").fetchall():
            self._check_events(db, experiment)
            self._check_journal(db, experiment)
            self.experiment_of(str(name).removeprefix("chaos "))
        self._check_trials(db)

    def _check_events(self, db: sqlite3.Connection, experiment: int) -> None:
        rows = db.execute("SELECT id, body FROM events WHERE experiment_id = ? ORDER BY id", (experiment,)).fetchall()
        if [number for number, _ in rows] != list(range(1, len(rows) + 1)):
            raise Violated(f"the events of experiment {experiment} have the ids {[number for number, _ in rows]}")
        bodies = [body for _, body in rows]
        before = self._events.get(experiment, [])
        if bodies[: len(before)] != before:
            raise Violated(f"events of experiment {experiment} were lost or changed after they had been stored")
        self._events[experiment] = bodies

    def _check_journal(self, db: sqlite3.Connection, experiment: int) -> None:
        [(count, last)] = db.execute(
            "SELECT count(*), max(seq) FROM journal WHERE experiment_id = ?", (experiment,)
        ).fetchall()
        if count < self._journal.get(experiment, 0):
            raise Violated(f"the journal of experiment {experiment} lost entries: {count} are left")
        if count and count != last:
            raise Violated(f"the journal of experiment {experiment} has gaps: {count} entries up to {last}")
        self._journal[experiment] = count

    def _check_trials(self, db: sqlite3.Connection) -> None:
        for trial, state in db.execute("SELECT id, state FROM trials").fetchall():
            if self._ended.get(trial, state) != state:
                raise Violated(f"trial {trial} had ended as {self._ended[trial]} and is {state} now")
            if state in _TERMINAL:
                self._ended[trial] = state
        rows: list[Any] = db.execute("SELECT experiment_id, request_id, count(*) FROM trials GROUP BY 1, 2").fetchall()
        for experiment, request_id, count in rows:
            if count > 1:
                raise Violated(f"experiment {experiment} has {count} trials for the request {request_id}")
