"""Histories: the recorded journal of one experiment, as a file that later versions must still replay.

Record one with ``python -m determined.testing.history DATABASE EXPERIMENT > tests/histories/recorded/NAME.jsonl``.
The first line holds the settings of the engine and what came of the experiment; each further line is a fact.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from determined.domain.facts import Fact
from determined.domain.ids import ExperimentId
from determined.domain.records import JournalRow
from determined.engine import effects as fx
from determined.engine import snapshot
from determined.engine.experiment import Experiment, Settings
from determined.testing.database import opened
from determined.wire import journal
from determined.wire.searcher import event_to_json

FORMAT = 1


@dataclass(frozen=True, slots=True)
class History:
    """One experiment from its first fact to its last."""

    settings: Settings
    rows: Sequence[JournalRow]
    outcome: dict[str, Any] = field(default_factory=dict)

    @property
    def facts(self) -> list[Fact]:
        """The facts, as this version reads them."""
        return [journal.from_row(row) for row in self.rows]


def record(database: Path, experiment_id: int) -> History:
    """Read a history from the data base of a master, which may be running; or from that of its data folder."""
    with opened(database) as db:
        found = db.execute("SELECT config, warm_start FROM experiments WHERE id = ?", (experiment_id,)).fetchone()
        if found is None:
            raise LookupError(f"{database} has no experiment {experiment_id}")
        rows = db.execute(
            "SELECT seq, at, kind, format, body FROM journal WHERE experiment_id = ? ORDER BY seq", (experiment_id,)
        ).fetchall()
    config = json.loads(found[0])
    settings = Settings(
        ExperimentId(experiment_id),
        max_restarts=config["max_restarts"],
        slots_per_trial=config["resources"]["slots_per_trial"],
        warm_start=found[1],
    )
    history = History(settings, [_row(ExperimentId(experiment_id), *row) for row in rows])
    return History(settings, history.rows, outcome(history))


def _row(experiment_id: ExperimentId, seq: int, at: float, kind: str, number: int, body: bytes) -> JournalRow:
    return JournalRow(experiment_id=experiment_id, seq=seq, at=at, kind=kind, format=number, body=body)


def outcome(history: History, reload_every: int = 0) -> dict[str, Any]:
    """What comes of the facts: every event in order, how the experiment ended, and each trial's last state.

    Args:
        reload_every: take the engine down to its snapshot and up again after so many facts; 0 for never.
    """
    engine = Experiment(history.settings)
    parts: dict[str, bytes] = {}
    events: list[dict[str, Any]] = []
    trials: dict[str, dict[str, Any]] = {}
    for number, fact in enumerate(history.facts, 1):
        for effect in engine.handle(fact):
            if isinstance(effect, fx.EventEnqueued):
                events.append(event_to_json(effect.event_id, effect.event))
            elif isinstance(effect, fx.TrialChanged):
                trials[str(effect.trial_id)] = {
                    "state": effect.state.value,
                    "runs": effect.run_id,
                    "restarts": effect.restarts,
                }
        if reload_every and number % reload_every == 0:
            parts |= snapshot.take(engine)
            engine = snapshot.restore(history.settings, parts)
    return {"state": engine.state.value, "progress": engine.progress, "trials": trials, "events": events}


def dump(history: History) -> str:
    """The text of a file."""
    head = {"format": FORMAT, "settings": msgspec.to_builtins(history.settings), "outcome": history.outcome}
    lines = [json.dumps(head)]
    for row in history.rows:
        body = json.loads(row.body)
        lines.append(json.dumps([row.seq, row.at, row.kind, row.format, body]))
    return "\n".join(lines) + "\n"


def load(path: Path) -> History:
    """The history in a file."""
    first, *rest = path.read_text().splitlines()
    head = json.loads(first)
    if head["format"] != FORMAT:
        raise ValueError(f"{path} has format {head['format']}, this version reads {FORMAT}")
    settings = msgspec.convert(head["settings"], Settings)
    rows = []
    for line in rest:
        seq, at, kind, number, body = json.loads(line)
        rows.append(_row(settings.experiment_id, seq, at, kind, number, json.dumps(body).encode()))
    return History(settings, rows, head["outcome"])


if __name__ == "__main__":
    sys.stdout.write(dump(record(Path(sys.argv[1]), int(sys.argv[2]))))
