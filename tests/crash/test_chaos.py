"""A few seeds of the chaos runs, and that they would notice what goes wrong; ``make chaos`` plays on and on."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from determined.testing.chaos.faults import Kind, draw, dump, load
from determined.testing.chaos.invariants import Invariants, Violated
from determined.testing.chaos.shrink import shrink
from determined.testing.cluster import LocalMaster
from tests.crash.stage import ROOT
from tests.e2e.support import MODEL, created, until_over, write_config

pytestmark = pytest.mark.timeout(1200)


def test_a_few_seeds() -> None:
    command = [sys.executable, "-m", "determined.testing.chaos", "--seed", "1001", "--seeds", "3", "--no-shrink"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 seeds, 0 failed" in done.stdout


def test_a_schedule_follows_from_its_seed_and_can_be_written_down() -> None:
    for seed in range(50):
        assert draw(seed) == draw(seed) == load(dump(draw(seed)))
        assert [fault.at_s for fault in draw(seed)] == sorted(fault.at_s for fault in draw(seed))
    assert {fault.kind for seed in range(4) for fault in draw(seed)} == set(Kind)


def test_what_is_no_schedule_is_refused_with_the_line() -> None:
    with pytest.raises(ValueError, match="no fault"):
        load('{"kind": "EARTHQUAKE"}')


def test_a_failing_schedule_is_made_shorter() -> None:
    asked: list[Sequence[int]] = []

    def fails(part: Sequence[int]) -> bool:
        asked.append(part)
        return {3, 11} <= set(part)

    assert shrink(range(14), fails, most=60) == [3, 11]
    assert len(asked) <= 60
    assert set(shrink(range(14), fails, most=3)) >= {3, 11}


def test_an_unfit_schedule_stays_whole() -> None:
    items = random.Random(1).sample(range(100), 8)
    assert shrink(items, lambda part: False, most=100) == items


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        ("UPDATE events SET id = id + 100 WHERE id = 3", "have the ids"),
        ("UPDATE events SET body = '{}' WHERE id = 2", "lost or changed"),
        ("DELETE FROM journal WHERE seq = 3", "journal"),
        ("UPDATE trials SET state = 'ACTIVE'", "had ended"),
        ("INSERT INTO experiments SELECT * FROM experiments", "experiments"),
    ],
)
def test_harm_to_the_data_is_noticed(harm: str, told: str, tmp_path: Path) -> None:
    with LocalMaster(tmp_path / "m") as master, master.session() as session:
        experiment = created(master.det("e", "create", write_config(tmp_path, name="chaos x"), str(MODEL)).stdout)
        assert until_over(session, experiment) == "STATE_COMPLETED"
    database = master.data / "master.db"
    invariants = Invariants(database)
    invariants.check()
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        if harm.startswith("INSERT"):
            names = [name for _, name, *_ in db.execute("PRAGMA table_info(experiments)") if name != "id"]
            columns = ", ".join(names).replace("client_key", "NULL AS client_key")
            db.execute(f"INSERT INTO experiments ({', '.join(names)}) SELECT {columns} FROM experiments")
        else:
            db.execute(harm)
    with pytest.raises(Violated, match=told):
        invariants.check()
