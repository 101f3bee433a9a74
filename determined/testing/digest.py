"""What must be equal however often something died: what a search did and heard, without times and ids of runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from determined.testing.database import Database, opened
from determined.testing.history import record


def digest(data: Path, experiment_id: int, begins: str, *, killed: bool = False) -> dict[str, Any]:
    """Of one search on a master's data folder.

    Args:
        begins: log lines that begin so are work done; a second one for the same length is work done twice.
        killed: trials were killed. What such a trial then does again is left out: its restarts, its log, and how
            often it reported the same progress.

    Raises:
        AssertionError: the queue of events is not what the journal says.
    """
    with opened(data) as db:
        about = (experiment_id,)
        row = db.execute("SELECT state, progress, num_trials FROM experiments WHERE id = ?", about).fetchone()
        outcome = record(data, experiment_id).outcome
        query = "SELECT body FROM events WHERE experiment_id = ? ORDER BY id"
        stored = [json.loads(body) for (body,) in db.execute(query, about)]
        assert stored == outcome["events"], "the queue is not what the journal says"
        assert [event["id"] for event in stored] == list(range(1, len(stored) + 1)), "ids of events have gaps"
        trials = {}
        query = "SELECT id, request_id FROM trials WHERE experiment_id = ? ORDER BY request_id"
        for trial_id, request_id in db.execute(query, about).fetchall():
            events = [e for e in map(_without_id, stored) if _is_about(e, request_id)]
            trials[request_id] = {
                **_trial(db, trial_id, begins, killed),
                "events": [e for e in events if "trialProgress" not in e],
                "progress": _progress(events, killed),
            }
    return {"experiment": row, "trials": trials}


def _trial(db: Database, trial_id: int, begins: str, killed: bool) -> dict[str, Any]:
    def rows(query: str, *more: str) -> list[Any]:
        return db.execute(query, (trial_id, *more)).fetchall()

    lines = [text for (text,) in rows("SELECT text FROM logs WHERE trial_id = ? AND text LIKE ?", f"{begins}%")]
    return {
        "row": rows("SELECT state, hparams, closed, total_batches, best_metric FROM trials WHERE id = ?"),
        "restarts": [] if killed else rows("SELECT restarts FROM trials WHERE id = ?"),
        "metrics": rows(
            'SELECT "group", steps, metrics FROM metrics WHERE trial_id = ? AND NOT archived ORDER BY "group", steps'
        ),
        "checkpoints": sorted(rows("SELECT steps, state FROM checkpoints WHERE trial_id = ?")),
        "done": [] if killed else sorted(text.rpartition(" ")[2] for text in lines),
    }


def _progress(events: list[dict[str, Any]], killed: bool) -> list[float]:
    reported = [event["trialProgress"]["partialUnits"] for event in events if "trialProgress" in event]
    return sorted(set(reported)) if killed else reported


def _without_id(event: dict[str, Any]) -> dict[str, Any]:
    without = {key: value for key, value in event.items() if key != "id"}
    for body in without.values():
        # Checkpoints have random names, which a training may tell its search.
        if isinstance(body, dict) and isinstance(metric := body.get("metric"), dict) and metric.get("checkpoint"):
            metric["checkpoint"] = "a checkpoint"
    return without


def _is_about(event: dict[str, Any], request_id: str) -> bool:
    return any(isinstance(body, dict) and body.get("requestId") == request_id for body in event.values())


def difference(expected: Any, found: Any, place: str = "") -> list[str]:
    """Where two digests differ, a line each."""
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        return [line for key in expected for line in difference(expected[key], found[key], f"{place}/{key}")]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [line for i, (one, other) in pairs for line in difference(one, other, f"{place}/{i}")]
    return [] if expected == found else [f"{place}: {expected} became {found}"]
