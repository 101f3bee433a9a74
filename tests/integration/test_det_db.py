"""``det db``: whole databases, brought up to date, checked and copied between SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from determined.domain.ids import ExperimentId
from determined.errors import DeterminedError, FailedPrecondition, NotFound, StorageFailed
from determined.storage import moving, postgres_claim
from determined.storage import protocol as p
from determined.storage.checking import check
from determined.storage.moving import copy, migrate
from determined.storage.sql import SqlStore
from determined.testing.postgres import drop_database, new_database, run_sql
from determined.testing.store_factories import make_event, make_experiment, make_fact, make_line, make_trial
from tests.integration.test_sql_store_plans import EVERYTHING

ODD = ["", "Ä ö 東京 🙂", "%s ? :name '\"", "\\x00\\", "\t\r\n"]
MORE: list[p.Mutation] = [
    p.InsertExperiment(make_experiment(2, name=ODD[1], best_metric=1e308, labels=("b", "a"), best_trial_id=None)),
    p.InsertTrial(make_trial(2, ExperimentId(2), hparams='{"x": 1e-320, "y": [null]}')),
    *(p.AppendLogs((make_line(text, 2),)) for text in ODD),
    *(p.AppendJournal(make_fact(n, 2)) for n in range(1, 12)),
    *(p.AppendEvent(make_event(n, 2)) for n in range(1, 12)),
    p.PutState(ExperimentId(2), "method", 1, bytes(range(256))),
]


@pytest.fixture
def url() -> Iterator[str]:
    made = new_database()
    yield made
    drop_database(made)


def filled(url: str) -> str:
    """A database with a row of every kind, and some odd ones."""

    async def run() -> None:
        store = SqlStore(url)
        await store.open()
        await store.write([*EVERYTHING, *MORE])
        await store.get_meta("cluster_id", "ours")
        await store.close()

    asyncio.run(run())
    return url


def _lines(url: str) -> Any:
    async def run() -> Any:
        store = SqlStore(url)
        await store.open()
        found = await store.read_logs(make_trial(2).id, p.LogFilter(), 0, None, False)
        experiment = await store.get_experiment(ExperimentId(2))
        engine = await store.load_engine(ExperimentId(2))
        ids = await store.next_ids()
        await store.close()
        return found, experiment, engine, ids

    return asyncio.run(run())


def test_a_copy_of_a_copy_is_the_original(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "BATCH", 3)
    first = filled(f"sqlite:///{tmp_path}/first.db")
    last = f"sqlite:///{tmp_path}/last.db"
    there, back = copy(first, url), copy(url, last)
    assert there == back
    assert {table.table: table.rows for table in there}["journal"] == 12
    assert check(url).problems == check(last).problems == []
    assert _lines(last) == _lines(first) == _lines(url)


def test_a_database_that_is_not_empty_is_replaced_only_when_told(tmp_path: Path, url: str) -> None:
    first = filled(f"sqlite:///{tmp_path}/first.db")
    filled(url)
    before = check(url).rows
    with pytest.raises(FailedPrecondition, match=r"not empty \(there are rows in .*--overwrite"):
        copy(first, url)
    assert check(url).rows == before
    copy(first, url, overwrite=True)
    assert check(url).rows == check(first).rows != before


def test_what_the_target_cannot_hold_stops_the_copy_and_leaves_nothing(tmp_path: Path, url: str) -> None:
    first = filled(f"sqlite:///{tmp_path}/first.db")
    _change(first, "UPDATE logs SET text = char(0) WHERE id = 3")
    with pytest.raises(DeterminedError, match="NUL"):
        copy(first, url)
    assert run_sql(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []


def test_a_copy_that_differs_is_not_kept(tmp_path: Path, url: str) -> None:
    """A trigger in the target changes what is written."""
    first = filled(f"sqlite:///{tmp_path}/first.db")
    migrate(url)
    run_sql(
        url,
        "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.text := 'no'; RETURN NEW; END $$; "
        "CREATE TRIGGER spoil BEFORE INSERT ON logs FOR EACH ROW EXECUTE FUNCTION spoil()",
    )
    with pytest.raises(DeterminedError, match="the copy of table logs differs"):
        copy(first, url)
    assert set(check(url).rows.values()) == {0}


def test_a_database_that_a_master_uses_is_left_alone(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_claim, "PATIENCE_MS", 50)
    file = filled(f"sqlite:///{tmp_path}/master.db")

    async def run() -> None:
        store = SqlStore(url)
        await store.open()
        for source, target in ((file, url), (url, f"sqlite:///{tmp_path}/other.db")):
            with pytest.raises(FailedPrecondition, match="another master"):
                await asyncio.to_thread(copy, source, target)
        with pytest.raises(FailedPrecondition, match="another master"):
            await asyncio.to_thread(migrate, url)
        assert check(url).problems == []
        await store.close()

    asyncio.run(run())
    (tmp_path / "master.lock").touch()
    with FileLock(tmp_path / "master.lock"):
        for do in (lambda: copy(file, url), lambda: migrate(file)):
            with pytest.raises(FailedPrecondition, match="a master uses the database"):
                do()
    assert check(file).problems == []


def test_what_is_not_there_is_not_made(tmp_path: Path, url: str) -> None:
    missing = f"sqlite:///{tmp_path}/missing.db"
    calls: list[Callable[[], Any]] = [lambda: check(missing), lambda: migrate(missing), lambda: copy(missing, url)]
    for do in calls:
        with pytest.raises(NotFound, match=r"missing\.db"):
            do()
    with pytest.raises(StorageFailed, match="does not exist"):
        check(f"{url}x")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_database_gets_its_schema_and_an_older_one_is_named(tmp_path: Path, url: str) -> None:
    assert "no schema of ours" in check(url).problems[0]
    assert migrate(url)[0] is None
    assert check(url).problems == []
    assert migrate(url)[0] is not None
    run_sql(url, "UPDATE alembic_version SET version_num = '0000'")
    assert "det db migrate" in check(url).problems[0]
    with pytest.raises(FailedPrecondition, match="det db migrate"):
        copy(url, f"sqlite:///{tmp_path}/new.db")
    run_sql(url, "UPDATE alembic_version SET version_num = '9999'")
    assert "newer" in check(url).problems[0]
    with pytest.raises(DeterminedError, match="9999"):
        migrate(url)


DAMAGES = {
    "DELETE FROM users": "rows of experiments refer to users that do not exist, for example 1",
    "UPDATE counters SET used = 1 WHERE name = 'trials'": "the counter of trials is at 1, but 2 is in use",
    "UPDATE experiments SET num_trials = 7 WHERE id = 2": "experiment 2 is said to have 7 trials, and has 1",
    "UPDATE trials SET checkpoint_count = 3 WHERE id = 1": "trial 1 is said to have 3 checkpoints, and has 0",
    "UPDATE trials SET best_validation = 99 WHERE id = 1": "rows of trials refer to metrics that do not exist",
    "DELETE FROM events WHERE experiment_id = 2 AND id = 5": "2 has 10 rows in events, numbered from 1 to 11",
    "DELETE FROM journal WHERE experiment_id = 2 AND seq = 7": "experiment 2 has 10 rows in journal",
    "DROP TABLE parts": "table parts is missing",
    "ALTER TABLE runs DROP COLUMN lines": "column lines of table runs is missing",
}


def _change(url: str, sql: str) -> None:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as db:
            db.execute(sql)
    else:
        run_sql(url, sql)


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_wrong_is_found_in_both_kinds(damage: str, tmp_path: Path, url: str) -> None:
    file = filled(f"sqlite:///{tmp_path}/store.db")
    copy(file, url)
    for each in (file, url):
        assert check(each).problems == []
        _change(each, damage)
        assert any(DAMAGES[damage] in problem for problem in check(each).problems), check(each).problems


def test_a_reference_that_the_database_should_have_refused_is_found(tmp_path: Path) -> None:
    file = filled(f"sqlite:///{tmp_path}/store.db")
    _change(file, "DELETE FROM trials WHERE id = 2")
    assert "5 rows of logs refer to trials that do not exist, for example 2" in check(file).problems


def _det(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "determined.cli", "db", *arguments], capture_output=True, text=True, env={**env}
    )


def test_the_commands_print_what_they_found(tmp_path: Path, url: str) -> None:
    file = filled(f"sqlite:///{tmp_path}/store.db")
    copied = _det("copy", "--from", file, "--to", url, "--json")
    assert copied.returncode == 0, copied.stderr
    tables = {table["table"]: table for table in json.loads(copied.stdout)["tables"]}
    assert tables["logs"]["rows"] == 7
    assert len(tables["logs"]["digest"]) == 64
    again = _det("copy", "--from", file, "--to", url)
    assert (again.returncode, again.stdout) == (1, "")
    assert "not empty" in again.stderr
    shown = _det("copy", "--from", file, "--to", url, "--overwrite")
    assert tables["logs"]["digest"][:16] in shown.stdout
    sound = _det("check", DET_DB=url)
    assert (sound.returncode, "no problems found" in sound.stdout) == (0, True)
    _change(url, "UPDATE experiments SET num_trials = 7 WHERE id = 2")
    broken = _det("check", url, "--json")
    assert broken.returncode == 1
    assert json.loads(broken.stdout)["problems"] == ["experiment 2 is said to have 7 trials, and has 1"]
    assert "already" in _det("migrate", url).stdout
    wrong = _det("check", "mysql://host/db")
    assert (wrong.returncode, "allowed: sqlite:///" in wrong.stderr) == (2, True)
