"""Kill the runner, kill the master: the same experiment completes, and nothing is done twice."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from determined.common.api.session import Session
from determined.testing.cluster import LocalMaster
from tests.e2e.support import created, trials_of, until_over, until_running, write_config

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
            runner = subprocess.Popen(command, env=master.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if not experiments(session):
                watch = tmp_path / "searcher" / "experiment_id.txt"
                until_file(watch)
            [experiment] = experiments(session)
            until_running(session, experiment)
            runner.send_signal(signal.SIGKILL)
            runner.wait()
        done = master.run(command)
        assert done.returncode == 0, done.stderr
        assert f"experiment={experiment} " in done.stdout
        assert experiments(session) == [experiment]
        trials = trials_of(session, experiment)
        assert [t["state"] for t in trials] == ["STATE_COMPLETED"] * 6
        assert len({t["hparams"]["x"] for t in trials}) == 6
        assert [t["restarts"] for t in trials] == [0] * 6


def until_file(path: Path) -> None:
    """Wait until a file exists: a directory watch would need a dependency for one test."""
    import os
    import select

    parent = path.parent
    while not path.exists():
        select.select([], [], [], 0.02)
        os.sched_yield()
        assert parent.parent.exists()


def test_a_killed_master_finds_its_trials_again_with_the_same_pids(tmp_path: Path, model: Path) -> None:
    with LocalMaster(tmp_path / "m") as master:
        config = write_config(tmp_path, searcher="random", more=", max_trials: 4", sleep=0.5)
        experiment = created(master.det("e", "create", config, str(model)).stdout)
        with master.session() as session:
            until_running(session, experiment, 2)
        before = {p.pid for p in master.trial_processes()}
        assert before
        for _ in range(2):
            master.kill()
            master.start()
        with master.session() as session:
            until_running(session, experiment, 1)
            assert {p.pid for p in master.trial_processes()} & before
            assert until_over(session, experiment) == "STATE_COMPLETED"
            trials = trials_of(session, experiment)
            assert [t["restarts"] for t in trials] == [0] * 4
            logs = "".join(
                line["result"]["message"] for line in session.stream(f"/api/v1/trials/{trials[0]['id']}/logs")
            )
        assert logs.count("hello from trial") == 1


def test_a_trial_that_ends_while_the_master_is_down_is_not_run_again(tmp_path: Path, model: Path) -> None:
    with LocalMaster(tmp_path / "m") as master:
        script = tmp_path / "model"
        script.mkdir()
        (script / "train.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(1.5)\nprint('done')\n")
        experiment = created(master.det("e", "create", write_config(tmp_path), str(script)).stdout)
        with master.session() as session:
            until_running(session, experiment)
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


def test_a_second_master_on_the_same_data_is_refused(tmp_path: Path) -> None:
    import pytest

    from determined.testing.cluster import MasterFailed

    with LocalMaster(tmp_path / "m") as master:
        second = LocalMaster(tmp_path / "m")
        with pytest.raises(MasterFailed, match="another master runs on"):
            second.start()
        assert master.det("e", "list").returncode == 0
