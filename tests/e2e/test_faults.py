"""Kill the runner, kill the master: the same experiment completes, and nothing is done twice."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from determined.common.api.session import Session
from determined.testing.cluster import LocalMaster, MasterFailed
from tests.e2e.support import (
    SCRIPTS,
    created,
    started_experiment,
    trials_of,
    until_logged,
    until_over,
    until_running,
    until_trial,
    write_config,
)

Command = Callable[..., list[str]]


def slow_copy(model: Path, target: Path, sleep: float) -> Path:
    """The model with slower training, so that there is time to kill something."""
    target.mkdir()
    script = (model / "train.py").read_text().replace('hparams.get("sleep", 0.0)', str(sleep))
    (target / "train.py").write_text(script)
    (target / "config.yaml").write_text((model / "config.yaml").read_text())
    return target


def experiments(session: Session) -> list[int]:
    return [e["id"] for e in session.get("/api/v1/experiments")["experiments"]]


def test_a_killed_runner_is_run_again_and_the_same_experiment_completes(
    tmp_path: Path, model: Path, search_command: Command
) -> None:
    with LocalMaster(tmp_path / "m") as master, master.session() as session:
        command = search_command("asha", slow_copy(model, tmp_path / "model", 0.05), tmp_path / "searcher")
        for _ in range(3):
            with subprocess.Popen(command, env=master.env, stderr=subprocess.PIPE, text=True) as runner:
                experiment = started_experiment(runner)
                until_running(session, experiment)
                runner.send_signal(signal.SIGKILL)
        done = master.run(command)
        assert done.returncode == 0, done.stderr
        assert f"experiment={experiment} " in done.stdout
        assert experiments(session) == [experiment]
        trials = trials_of(session, experiment)
        assert [t["state"] for t in trials] == ["STATE_COMPLETED"] * 6
        assert len({t["hparams"]["x"] for t in trials}) == 6
        assert [t["restarts"] for t in trials] == [0] * 6


def test_a_killed_master_finds_its_trials_again_with_the_same_pids(tmp_path: Path, model: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with LocalMaster(tmp_path / "m") as master:
        config = write_config(tmp_path, searcher="random", more=", max_trials: 4", gate=str(gate))
        experiment = created(master.det("e", "create", config, str(model)).stdout)
        with master.session() as session:
            until_running(session, experiment, 2)
            running = trials_of(session, experiment)[:2]
            for trial in running:
                until_logged(session, trial["id"], "hello from trial")
        before = {p.pid for p in master.trial_processes()}
        for _ in range(2):
            master.kill()
            master.start()
            assert {p.pid for p in master.trial_processes()} == before
        with gate.open("w"), master.session() as session:
            assert until_over(session, experiment) == "STATE_COMPLETED"
            trials = trials_of(session, experiment)
            assert [t["restarts"] for t in trials] == [0] * 4
            for trial in running:
                log = "".join(
                    line["result"]["message"] for line in session.stream(f"/api/v1/trials/{trial['id']}/logs")
                )
                assert log.count("hello from trial") == 1


def test_a_trial_that_ends_while_the_master_is_down_is_not_run_again(tmp_path: Path, model: Path) -> None:
    with LocalMaster(tmp_path / "m") as master:
        script = tmp_path / "model"
        script.mkdir()
        (script / "train.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(1.5)\nprint('done')\n")
        experiment = created(master.det("e", "create", write_config(tmp_path), str(script)).stdout)
        with master.session() as session:
            # Before its first line a run still needs the master.
            until_logged(session, until_trial(session, experiment)["id"], "begun")
        processes = master.trial_processes()
        master.kill()
        for process in processes:
            process.wait(timeout=60)
        master.start()
        with master.session() as session:
            assert until_over(session, experiment) == "STATE_COMPLETED"
            trial = trials_of(session, experiment)[0]
            assert trial["restarts"] == 0
            logs = [line["result"]["message"] for line in session.stream(f"/api/v1/trials/{trial['id']}/logs")]
        assert sum("begun" in line for line in logs) == 1
        assert sum("done" in line for line in logs) == 1


REMOTE = """
name: searcher
entrypoint: python3 run_remote.py
searcher: {name: single, metric: validation_loss, max_length: 1000}
resources: {slots_per_trial: 0}
max_restarts: 5
"""


def test_a_killed_remote_runner_goes_on_with_the_search_that_it_had_begun(tmp_path: Path, model: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    slow_copy(model, context / "model", 0.05)
    for name in ("search_methods.py", "run_remote.py"):
        (context / name).write_text((SCRIPTS / name).read_text())
    (tmp_path / "searcher.yaml").write_text(REMOTE)
    with LocalMaster(tmp_path / "m") as master, master.session() as session:
        outer = created(master.det("e", "create", str(tmp_path / "searcher.yaml"), str(context)).stdout)
        for run in (1, 2):
            trial = until_trial(session, outer)
            until_logged(session, trial["id"], "the search of experiment", run)
            inner = max(experiments(session))
            until_running(session, inner)
            for process in processes_of(master, f"{trial['taskId']}.{run}"):
                process.kill()
        assert until_over(session, outer) == "STATE_COMPLETED"
        assert experiments(session) == [outer, inner]
        assert until_over(session, inner) == "STATE_COMPLETED"
        trials = trials_of(session, inner)
        assert [t["state"] for t in trials] == ["STATE_COMPLETED"] * 6
        assert [t["restarts"] for t in trials] == [0] * 6
        assert trials_of(session, outer)[0]["restarts"] == 2


def processes_of(master: LocalMaster, allocation_id: str) -> list[psutil.Process]:
    """The processes of one run."""
    return [p for p in master.trial_processes() if p.environ()["DET_ALLOCATION_ID"] == allocation_id]


def test_a_second_master_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with LocalMaster(tmp_path / "m") as master:
        second = LocalMaster(tmp_path / "m")
        with pytest.raises(MasterFailed, match="another master runs on"):
            second.start()
        assert master.det("e", "list").returncode == 0


@pytest.mark.parametrize(("host", "status"), [("box.example", b"200"), ("evil.example", b"403")])
def test_a_master_behind_a_proxy_answers_to_the_name_it_gives_out(host: str, status: bytes, tmp_path: Path) -> None:
    address = "https://box.example:8443"
    with (
        LocalMaster(tmp_path / "m", arguments=["--url", address]) as master,
        socket.create_connection(("127.0.0.1", master.port)) as connection,
    ):
        connection.sendall(f"GET /info HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert connection.recv(12) == b"HTTP/1.1 " + status
