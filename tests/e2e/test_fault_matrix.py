"""Real processes, real signals: each victim, each fault, and what must hold afterwards."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from determined.common.api.session import Session
from determined.testing.cluster import LocalMaster
from tests.e2e.support import created, trials_of, until_logged, until_over, until_running, write_config

SCRIPT = """
import os

import determined as det

info = det.get_cluster_info()
steps = 0
with det.core.init() as context:
    if info.latest_checkpoint:
        with context.checkpoint.restore_path(info.latest_checkpoint) as path:
            steps = int((path / "steps").read_text())
    print(f"begins at {steps}", flush=True)
    for op in context.searcher.operations():
        while steps < op.length:
            steps += 10
            with context.checkpoint.store_path({"steps_completed": steps}) as (path, _):
                (path / "steps").write_text(str(steps))
            print(f"saved {steps}", flush=True)
            if steps == 10:
                open(info.trial.hparams["gate"]).close()
        context.train.report_validation_metrics(steps, {"validation_loss": 0.5})
        op.report_completed(0.5)
"""


class Waiting:
    """An experiment whose trial has saved after 10 of 20 steps, and waits at a gate that nobody opens."""

    def __init__(self, master: LocalMaster, folder: Path, max_restarts: int = 2) -> None:
        gate = folder / "gate"
        os.mkfifo(gate)
        model = folder / "model"
        model.mkdir()
        (model / "train.py").write_text(SCRIPT)
        config = write_config(folder, max_restarts=max_restarts, gate=str(gate))
        self.master = master
        self.experiment = created(master.det("e", "create", config, str(model)).stdout)
        with master.session() as session:
            until_running(session, self.experiment)
            self.trial = trials_of(session, self.experiment)[0]
            until_logged(session, self.trial["id"], "saved 10")
        folder = master.data / "runs" / f"{self.trial['taskId']}.1"
        record = json.loads((folder / "shim.json").read_text())
        self.shim, self.child = int(record["pid"]), int(record["child"])

    @property
    def pids(self) -> set[int]:
        """Every process of the trial's first run."""
        return {p.pid for p in self.master.trial_processes()}

    def begins(self, session: Session) -> list[str]:
        """Where each run of the trial began."""
        lines = session.stream(f"/api/v1/trials/{self.trial['id']}/logs")
        texts = [line["result"]["message"] for line in lines]
        return [text.split("begins at ")[1].strip() for text in texts if "begins at " in text]


def kill_trial(w: Waiting) -> None:
    os.kill(w.child, signal.SIGKILL)


def kill_shim(w: Waiting) -> None:
    os.kill(w.shim, signal.SIGKILL)


def kill_everything_of_the_run(w: Waiting) -> None:
    for pid in {w.shim, *w.pids}:
        os.kill(pid, signal.SIGKILL)


def kill_master_and_trial(w: Waiting) -> None:
    w.master.kill()
    os.kill(w.child, signal.SIGKILL)
    w.master.start()


def kill_master_and_everything(w: Waiting) -> None:
    """What is left after the machine was switched off."""
    w.master.kill()
    kill_everything_of_the_run(w)
    w.master.start()


@pytest.mark.parametrize(
    ("fault", "restarts"),
    [
        (kill_trial, 1),
        (kill_shim, 0),
        (kill_everything_of_the_run, 0),
        (kill_master_and_trial, 1),
        (kill_master_and_everything, 0),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)).replace("_", " "),
)
def test_a_run_that_died_is_followed_by_one_from_its_checkpoint(
    fault: Callable[[Waiting], None], restarts: int, tmp_path: Path
) -> None:
    """A failure of the trial counts as a restart, one of the system does not; nothing is trained twice."""
    with LocalMaster(tmp_path / "m") as master:
        waiting = Waiting(master, tmp_path)
        fault(waiting)
        with master.session() as session:
            assert until_over(session, waiting.experiment) == "STATE_COMPLETED"
            [trial] = trials_of(session, waiting.experiment)
            assert trial["restarts"] == restarts
            assert trial["totalBatchesProcessed"] == 20
            assert waiting.begins(session) == ["0", "10"]
        assert waiting.pids == set()


def test_a_trial_that_dies_too_often_ends_in_error_and_nothing_of_it_is_left(tmp_path: Path) -> None:
    with LocalMaster(tmp_path / "m") as master:
        waiting = Waiting(master, tmp_path, max_restarts=0)
        kill_trial(waiting)
        with master.session() as session:
            assert until_over(session, waiting.experiment) == "STATE_ERROR"
            assert waiting.begins(session) == ["0"]
        assert waiting.pids == set()


def test_a_master_that_was_stopped_and_goes_on_has_harmed_nobody(tmp_path: Path) -> None:
    with LocalMaster(tmp_path / "m") as master:
        waiting = Waiting(master, tmp_path)
        before = waiting.pids
        os.kill(master.pid, signal.SIGSTOP)
        os.kill(waiting.child, signal.SIGSTOP)
        os.kill(waiting.child, signal.SIGCONT)
        os.kill(master.pid, signal.SIGCONT)
        assert waiting.pids == before
        with (tmp_path / "gate").open("w"), master.session() as session:
            assert until_over(session, waiting.experiment) == "STATE_COMPLETED"
            assert trials_of(session, waiting.experiment)[0]["restarts"] == 0
            assert waiting.begins(session) == ["0"]


def test_a_trial_that_was_to_be_canceled_is_so_although_the_master_died(tmp_path: Path) -> None:
    with LocalMaster(tmp_path / "m") as master:
        waiting = Waiting(master, tmp_path)
        for _ in range(2):
            assert master.det("t", "cancel", str(waiting.trial["id"])).returncode == 0
        before = waiting.pids
        master.kill()
        master.start()
        with master.session() as session:
            [trial] = trials_of(session, waiting.experiment)
            assert trial["state"] == "STATE_STOPPING_CANCELED"
            assert waiting.pids == before
            (tmp_path / "gate").open("w").close()
            assert until_over(session, waiting.experiment) == "STATE_CANCELED"
            [trial] = trials_of(session, waiting.experiment)
            assert trial["restarts"] == 0
            assert waiting.begins(session) == ["0"]


def test_a_master_with_a_thousand_open_polls_stops_when_it_is_told_to(tmp_path: Path) -> None:
    with LocalMaster(tmp_path / "m") as master:
        waiting = Waiting(master, tmp_path)
        with master.session() as session:
            path = f"/api/v1/experiments/{waiting.experiment}/watch?follow=true"
            head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {session.token}\r\n\r\n"
        polls = [socket.create_connection(("127.0.0.1", master.port)) for _ in range(1000)]
        for poll in polls:
            poll.sendall(head.encode())
        for poll in polls:
            # Its first line: the master has taken it up.
            assert poll.recv(12) == b"HTTP/1.1 200"
        master.stop()
        for poll in polls:
            poll.close()
        master.start()
        with (tmp_path / "gate").open("w"), master.session() as session:
            assert until_over(session, waiting.experiment) == "STATE_COMPLETED"
            assert waiting.begins(session) == ["0"]
