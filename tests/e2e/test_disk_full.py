"""A disk that is full: the master reads and refuses to write, trials wait; with space, everything goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from determined.testing.cluster import LocalMaster
from tests.e2e.support import MODEL, created, trials_of, until_logged, until_over, until_trial, write_config

ROOT = Path(__file__).parent.parent.parent
SIZE = 24 << 20
REPORTS = 40
SCRIPT = f"""
import logging
import determined as det

info = det.get_cluster_info()


class Tell(logging.Handler):
    told = False

    def emit(self, record):
        # The log is on the full disk as well, so the test hears of it another way.
        if "does not serve" in record.getMessage() and not self.told:
            self.told = True
            open(info.trial.hparams["blocked"], "w").close()


logging.getLogger("determined.core").addHandler(Tell())
with det.core.init() as context:
    for op in context.searcher.operations():
        print("waits at the gate", flush=True)
        open(info.trial.hparams["gate"]).close()
        for n in range(1, {REPORTS} + 1):
            metrics = {{f"layer {{i}}": n + i / 7 for i in range(2000)}}
            context.train.report_training_metrics(n, metrics)
            print(f"reported {{n}} " + "x" * 1000, flush=True)
        context.train.report_validation_metrics({REPORTS}, {{"validation_loss": 0.5}})
        op.report_completed(0.5)
"""


@pytest.fixture
def master(tmp_path: Path) -> Iterator[LocalMaster]:
    master = LocalMaster(tmp_path / "m")
    master.data.mkdir()
    master.wrapper = [sys.executable, "-m", "tests.e2e.small_disk", str(master.data), str(SIZE)]
    probe = subprocess.run([*master.wrapper, "/bin/true"], cwd=ROOT, capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"no small disk can be had here: {probe.stderr.strip().splitlines()[-1]}")
    master.env["PYTHONPATH"] = str(ROOT)
    with master:
        yield master


def fill(disk: Path) -> Path:
    """Leave no byte free; returns the file to delete."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return ballast


def test_nothing_is_lost_and_everything_goes_on_when_there_is_space_again(master: LocalMaster, tmp_path: Path) -> None:
    gate, blocked = tmp_path / "gate", tmp_path / "blocked"
    os.mkfifo(gate)
    os.mkfifo(blocked)
    model = tmp_path / "model"
    model.mkdir()
    (model / "train.py").write_text(SCRIPT)
    config = write_config(tmp_path, gate=str(gate), blocked=str(blocked))
    with master.session() as session:
        experiment = created(master.det("e", "create", config, str(model)).stdout)
        until_logged(session, until_trial(session, experiment)["id"], "waits at the gate")
        ballast = fill(Path(f"/proc/{master.pid}/root{master.data}"))
        gate.open("w").close()
        # Blocks until a report of the trial has been refused.
        blocked.open().close()

        refused = master.det("e", "create", write_config(tmp_path, name="second"), str(MODEL))
        assert refused.returncode != 0
        assert "No space left on device" in refused.stderr
        assert "Errno" not in refused.stderr
        assert "Traceback" not in refused.stderr
        # Reading works.
        assert len(session.get("/api/v1/experiments")["experiments"]) == 1
        assert master.det("e", "list").returncode == 0

        ballast.unlink()
        assert until_over(session, experiment) == "STATE_COMPLETED"
        [trial] = trials_of(session, experiment)
        assert trial["restarts"] == 0
        reports = session.get("/api/v1/trials/1/workloads", params={"limit": -1})["workloads"]
        steps = [w["training"]["totalBatches"] for w in reports if w.get("training")]
        assert sorted(steps) == list(range(1, REPORTS + 1))
        lines = [line["result"]["message"] for line in session.stream("/api/v1/trials/1/logs")]
        told = [line.split("reported ")[1].split()[0] for line in lines if "reported " in line]
        assert told == [str(n) for n in range(1, REPORTS + 1)]
        again = master.det("e", "create", write_config(tmp_path, name="third"), str(MODEL))
        assert again.returncode == 0, again.stderr
        assert until_over(session, created(again.stdout)) == "STATE_COMPLETED"
