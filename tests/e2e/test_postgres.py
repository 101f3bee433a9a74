"""Masters whose database is on PostgreSQL: killed, fenced, refused, and with a database that goes away."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from determined.testing.cluster import LocalMaster, MasterFailed
from determined.testing.database import opened
from determined.testing.postgres import PostgresServer, new_database, run_sql
from tests.e2e.support import (
    created,
    events_of,
    started_experiment,
    trials_of,
    until_over,
    until_running,
    write_config,
)
from tests.e2e.test_faults import slow_copy
from tests.integration.postgres_rig import end_lock_holder

Command = Callable[..., list[str]]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
def master(server: PostgresServer, tmp_path: Path) -> LocalMaster:
    return LocalMaster(tmp_path / "m", db=new_database(server.url()))


@contextlib.contextmanager
def searching(master: LocalMaster, command: list[str]) -> Iterator[int]:
    """A search is on its way; in the end it must have completed, with nothing lost and nothing twice."""
    with subprocess.Popen(command, env=master.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as runner:
        experiment = started_experiment(runner)
        with master.session() as session:
            until_running(session, experiment)
        yield experiment
        _, told = runner.communicate()
        if runner.returncode:
            # A runner that cannot reach its master ends; whoever started it starts it again.
            done = master.run(command)
            assert done.returncode == 0, told + done.stderr
    with master.session() as session:
        trials = trials_of(session, experiment)
    assert [t["state"] for t in trials] == ["STATE_COMPLETED"] * 6
    assert [t["restarts"] for t in trials] == [0] * 6
    events = events_of(master, experiment)
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    with opened(master.data) as db:
        stored = db.execute("SELECT body FROM events WHERE experiment_id = ? ORDER BY id", (experiment,)).fetchall()
        reports = db.execute("SELECT count(*), count(DISTINCT (trial_id, steps)) FROM metrics").fetchone()
    assert [json.loads(body) for (body,) in stored] == events
    assert reports[0] == 2 * reports[1], "each validation has its training report, once"


def test_a_master_that_is_killed_in_mid_search_goes_on_with_its_database(
    master: LocalMaster, tmp_path: Path, model: Path, search_command: Command
) -> None:
    with master:
        command = search_command("asha", slow_copy(model, tmp_path / "model", 0.05), tmp_path / "searcher")
        with searching(master, command) as experiment:
            for _ in range(2):
                master.kill()
                master.start()
                with master.session() as session:
                    until_running(session, experiment)
        assert not (master.data / "master.db").exists()


def test_a_search_goes_on_over_a_database_that_is_restarted_and_stands_still(
    server: PostgresServer, master: LocalMaster, tmp_path: Path, model: Path, search_command: Command
) -> None:
    with master:
        command = search_command("asha", slow_copy(model, tmp_path / "model", 0.05), tmp_path / "searcher")
        with searching(master, command), master.session() as session:
            pid = master.pid
            for how in (signal.SIGINT, signal.SIGQUIT):
                server.stop(how)
                server.start()
                # Answered from the database, that is, when it is back.
                assert session.get("/api/v1/experiments")["experiments"]
            with server.stalled():
                assert session.get("/health")
            assert session.get("/api/v1/experiments")["experiments"]
            assert master.pid == pid
        assert "Traceback" not in master.log


def test_a_database_is_moved_there_and_the_master_goes_on_with_it(
    server: PostgresServer, tmp_path: Path, model: Path
) -> None:
    url = new_database(server.url())
    with LocalMaster(tmp_path / "m", db=f"sqlite:///{tmp_path}/m/data/master.db") as before:
        experiment = created(before.det("e", "create", write_config(tmp_path), str(model)).stdout)
        with before.session() as session:
            assert until_over(session, experiment) == "STATE_COMPLETED"
            trials = trials_of(session, experiment)
    moved = before.det("db", "copy", "--from", f"sqlite:///{before.data}/master.db", "--to", url)
    assert moved.returncode == 0, moved.stderr
    with LocalMaster(tmp_path / "m", db=url) as after, after.session() as session:
        assert trials_of(session, experiment) == trials
        again = created(after.det("e", "create", write_config(tmp_path), str(model)).stdout)
        assert again == experiment + 1
        assert until_over(session, again) == "STATE_COMPLETED"


def test_a_second_master_is_refused_in_a_sentence(master: LocalMaster, tmp_path: Path) -> None:
    second = LocalMaster(tmp_path / "second", db=master.db)
    with master:
        with pytest.raises(MasterFailed, match=rf"another master \(process {master.pid} on .*--db"):
            second.start()
        assert second.process is not None
        assert second.process.returncode == 1
        assert "Traceback" not in second.log
        assert master.db is not None
        assert master.db.rpartition("@")[0].rpartition(":")[2] not in second.log
        assert master.det("user", "list").returncode == 0


def test_a_master_that_was_replaced_while_it_stood_still_stops_and_says_why(
    master: LocalMaster, tmp_path: Path
) -> None:
    second = LocalMaster(tmp_path / "second", db=master.db)
    assert master.db is not None
    with master:
        assert master.process is not None
        master.process.send_signal(signal.SIGSTOP)
        assert end_lock_holder(master.db) == 1
        with second:
            master.process.send_signal(signal.SIGCONT)
            assert master.process.wait() == 1
            assert f"another master (process {second.pid} on" in master.log
            assert second.det("user", "list").returncode == 0
        assert "Traceback" not in master.log
    assert run_sql(master.db, "SELECT value LIKE '2:%' FROM meta WHERE key = 'writer'") == [(True,)]


def test_what_is_wrong_with_the_database_is_told_in_a_sentence(server: PostgresServer, tmp_path: Path) -> None:
    bad = {
        "postgresql://": "names no database",
        "mysql://root@host/db": "allowed: sqlite:///path/to/file, postgresql://",
        "nonsense": "allowed: sqlite:///path/to/file, postgresql://",
        server.url("nowhere"): "does not exist",
        server.url().replace(server.password, "wrong"): "password authentication failed",
    }
    for number, (url, why) in enumerate(bad.items()):
        refused = LocalMaster(tmp_path / str(number), db=url)
        with pytest.raises(MasterFailed, match=why):
            refused.start()
        assert "Traceback" not in refused.log
        assert server.password not in refused.log
