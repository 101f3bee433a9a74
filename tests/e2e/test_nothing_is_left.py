"""Trials that start daemons, leave their session and are deaf to SIGTERM: after a pause, a cancel, a kill or a deletion
no process of them is left.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest

from determined.testing.cluster import LocalMaster
from tests.e2e.support import created, trials_of, until_logged, until_over, until_running, write_config

SCRIPT = """
import os
import signal
import subprocess
import sys

import determined as det

sleep = [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"]
subprocess.Popen(sleep, start_new_session=True)
subprocess.Popen(["sh", "-c", "trap '' TERM HUP; sleep 600 & wait"])
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        # A daemon: no parent, no session, no environment worth speaking of.
        os.execve(sys.executable, sleep, {})
    os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with det.core.init() as context:
    for op in context.searcher.operations():
        print("has spawned", flush=True)
        # The thread that listens for the signal ends when it has come.
        context.preempt.should_preempt()
        context.preempt._watcher.join()
        break
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    (folder / "train.py").write_text(SCRIPT)
    return folder


def family(master: LocalMaster) -> set[psutil.Process]:
    """Everything that the runs have started, those without an environment included."""
    found: set[psutil.Process] = set()
    for process in master.run_processes():
        try:
            found |= {process, *process.children(recursive=True)}
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("verb", ["pause", "cancel", "kill", "delete"])
def test_no_process_is_left(verb: str, model: Path, tmp_path: Path) -> None:
    with LocalMaster(tmp_path / "m") as master, master.session() as session:
        experiment = created(master.det("e", "create", write_config(tmp_path), str(model)).stdout)
        until_running(session, experiment)
        until_logged(session, trials_of(session, experiment)[0]["id"], "has spawned")
        # The process beside a run may stay for another.
        processes = {process for process in family(master) if process.name() != "det-shim"}
        assert len(processes) >= 4
        first = "kill" if verb == "delete" else verb
        assert master.det("e", first, str(experiment)).returncode == 0
        if verb != "pause":
            assert until_over(session, experiment) == "STATE_CANCELED"
        if verb == "delete":
            assert master.det("e", "delete", str(experiment), "--yes").returncode == 0
        _, alive = psutil.wait_procs(processes, timeout=10)
        assert alive == []
        # The end has to be brought to the disk before a shim is free.
        until = time.monotonic() + 10
        while (left := family(master)) and time.monotonic() < until:
            os.sched_yield()
        assert left == set()
