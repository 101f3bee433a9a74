"""The genuine ``det``, unmodified, against our master."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

from determined.testing.cluster import LocalMaster
from tests.compat.conftest import Run

MODEL = Path(__file__).parent.parent / "model"

SINGLE = """
name: {name}
entrypoint: python3 train.py
searcher: {{name: single, metric: validation_loss, max_length: 20}}
hyperparameters: {{x: 0.5, sleep: {sleep}}}
max_restarts: 0
"""


def config(folder: Path, name: str, sleep: float = 0.0) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(SINGLE.format(name=name, sleep=sleep))
    return str(path)


def created(text: str) -> str:
    found = re.search(r"Created experiment (\d+)", text)
    assert found, text
    return found[1]


def test_create_follow_and_everything_there_is_to_read(master: LocalMaster, det: Run, tmp_path: Path) -> None:
    done = det("e", "create", "-f", config(tmp_path, "followed"), str(MODEL))
    experiment = created(done.stdout)
    assert "hello from trial" in done.stdout
    assert "followed" in det("e", "list").stdout
    assert "followed" in det("e", "list", "--all", "--csv").stdout
    described = json.loads(det("e", "describe", "--json", "--metrics", experiment).stdout)
    assert described[0]["experiment"]["state"] == "STATE_COMPLETED"
    [row] = csv.DictReader(io.StringIO(det("e", "list-trials", experiment, "--csv").stdout))
    trial = row["Trial ID"]
    assert json.loads(row["H-Params"]) == {"x": 0.5, "sleep": 0.0}
    assert "COMPLETED" in det("e", "list-checkpoints", experiment).stdout
    assert "COMPLETED" in det("e", "list-checkpoints", "--best", "1", experiment).stdout
    assert "hello from trial" in det("e", "logs", experiment).stdout
    assert "hello from trial" in det("t", "logs", trial).stdout
    assert "hello from trial" in det("t", "logs", "--tail", "100", trial).stdout
    assert "hello from trial" in det("t", "logs", "-f", trial).stdout
    assert "name: followed" in det("e", "config", experiment).stdout
    det("e", "wait", "--polling-interval", "1", experiment)
    det("t", "describe", trial, "--json")
    det("e", "describe", experiment, "--outdir", str(tmp_path))


def test_pause_activate_cancel_kill_and_wait(master: LocalMaster, det: Run, tmp_path: Path) -> None:
    # Those that are to be stopped take so long that they cannot end by themselves while a command starts.
    experiment = created(det("e", "create", "--paused", config(tmp_path, "slow", 30), str(MODEL)).stdout)
    for verb in ("", "activate", "pause", "activate"):
        if verb:
            det("e", verb, experiment)
        told = det("e", "describe", "--json", experiment).stdout
        assert ("STATE_PAUSED" in told) == (verb != "activate")
    killed = created(det("e", "create", config(tmp_path, "killed", 30), str(MODEL)).stdout)
    for verb, ended in (("cancel", experiment), ("kill", killed)):
        det("e", verb, ended)
        det("e", "wait", "--polling-interval", "1", ended, code=1)
    completed = created(det("e", "create", config(tmp_path, "quick", 0), str(MODEL)).stdout)
    det("e", "wait", "--polling-interval", "1", completed)


def test_logging_in_and_asking_who_one_is(master: LocalMaster, det: Run) -> None:
    det("user", "login", "admin", typed="\n")
    assert "admin" in det("user", "whoami").stdout
    det("user", "logout")
    assert "determined" in det("user", "whoami").stdout
    assert "determined" in det("-u", "determined", "user", "whoami").stdout
    det("user", "logout")


def test_users_agents_slots_and_tasks_are_listed(master: LocalMaster, det: Run) -> None:
    assert "admin" in det("user", "list").stdout
    det("agent", "list")
    det("slot", "list")
    det("task", "list")
    assert "checkpoint_storage" in det("master", "config").stdout
    det("master", "info")
