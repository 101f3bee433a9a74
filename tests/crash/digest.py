"""What must be equal however often a master died: what a search did and heard, without times and ids of runs."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from determined.testing.history import record

HELLO = "hello from trial"


def digest(data: Path) -> dict[str, Any]:
    """Of the one search on a master's data folder."""
    database = data / "master.db"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        experiments = db.execute("SELECT id, state, progress, num_trials FROM experiments").fetchall()
        assert len(experiments) == 1, f"there are {len(experiments)} experiments"
        outcome = record(database, experiments[0][0]).outcome
        stored = [json.loads(body) for (body,) in db.execute("SELECT body FROM events ORDER BY id")]
        assert stored == outcome["events"], "the queue is not what the journal says"
        assert [event["id"] for event in stored] == list(range(1, len(stored) + 1))
        trials = {}
        for trial_id, request_id in db.execute("SELECT id, request_id FROM trials ORDER BY request_id").fetchall():
            trials[request_id] = {
                **_trial(db, trial_id),
                "events": [e for e in map(_without_id, stored) if _is_about(e, request_id)],
            }
    return {"experiment": experiments[0][1:], "trials": trials}


def _trial(db: sqlite3.Connection, trial_id: int) -> dict[str, Any]:
    def rows(query: str) -> list[Any]:
        return db.execute(query, (trial_id,)).fetchall()

    hellos = rows(f"SELECT text FROM logs WHERE trial_id = ? AND text LIKE '{HELLO}%'")
    return {
        "row": rows("SELECT state, hparams, restarts, closed, total_batches, best_metric FROM trials WHERE id = ?"),
        "metrics": rows(
            'SELECT "group", steps, metrics FROM metrics WHERE trial_id = ? AND NOT archived ORDER BY "group", steps'
        ),
        "checkpoints": sorted(rows("SELECT steps, state FROM checkpoints WHERE trial_id = ?")),
        # Each operation is trained once: a second hello for the same length would be work done twice.
        "trained": sorted(text.rpartition(" ")[2] for (text,) in hellos),
    }


def _without_id(event: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key != "id"}


def _is_about(event: dict[str, Any], request_id: str) -> bool:
    return any(body.get("requestId") == request_id for body in event.values())


def difference(expected: Any, found: Any, place: str = "") -> list[str]:
    """Where two digests differ, a line each."""
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        return [line for key in expected for line in difference(expected[key], found[key], f"{place}/{key}")]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [line for i, (one, other) in pairs for line in difference(one, other, f"{place}/{i}")]
    return [] if expected == found else [f"{place}: {expected} became {found}"]
