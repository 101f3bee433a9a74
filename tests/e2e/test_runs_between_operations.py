"""A process is kept while its search decides, and given up when there is nothing for it to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from determined.testing.cluster import LocalMaster
from determined.testing.database import opened

Command = Callable[..., list[str]]


def runs_of(master: LocalMaster, experiment_id: int) -> dict[int, int]:
    """How many runs each trial had, by trial id."""
    with opened(master.data) as db:
        rows = db.execute(
            "SELECT trial_id, count(*) FROM runs WHERE experiment_id = ? GROUP BY trial_id ORDER BY trial_id",
            (experiment_id,),
        ).fetchall()
    return dict(rows)


def search(master: LocalMaster, command: list[str]) -> int:
    done = master.run(command)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"experiment=(\d+)", done.stdout)
    assert found
    return int(found[1])


def test_one_process_serves_every_rung_when_decisions_come_at_once(
    tmp_path: Path, model: Path, search_command: Command
) -> None:
    with LocalMaster(tmp_path / "m") as master:
        experiment = search(master, search_command("climb", model, tmp_path / "searcher"))
        assert list(runs_of(master, experiment).values()) == [1, 1, 1, 1]


def test_a_trial_that_is_promoted_later_resumes_from_its_checkpoint(
    tmp_path: Path, model: Path, search_command: Command
) -> None:
    with LocalMaster(tmp_path / "m", slots=1) as master:
        experiment = search(master, search_command("late", model, tmp_path / "searcher"))
        assert list(runs_of(master, experiment).values()) == [2, 1]
        with master.session() as session:
            trials = session.get(f"/api/v1/experiments/{experiment}/trials")["trials"]
            logs = session.stream(f"/api/v1/trials/{trials[0]['id']}/logs")
            text = "".join(line["result"]["message"] for line in logs)
        assert [t["totalBatchesProcessed"] for t in trials] == [20, 10]
        assert "begins after 10" in text
