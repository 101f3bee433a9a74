"""Trials of several processes: how tests submit them, and read what the processes have said and stored."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from determined.common.api.session import Session
from determined.testing.cluster import LocalMaster
from tests.e2e.support import SCRIPTS, created, trials_of, until_logged, until_over

TORCH = (
    pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch: the extra [torch]"),
    # Each process imports PyTorch, which takes as long as the machine is busy.
    pytest.mark.timeout(600),
)
MULTI = "python3 -m determined.launch.multi -- python3 train.py"
TORCHRUN = "python3 -m determined.launch.torch_distributed -- python3 train.py"
AT_THE_PAUSE = "waiting for the pause"


def submit(
    master: LocalMaster,
    scratch: Path,
    entrypoint: str,
    restarts: int = 0,
    folder: Path = SCRIPTS / "distributed",
    slots: int = 2,
    **hparams: Any,
) -> int:
    config = {
        "name": "ranks",
        "entrypoint": entrypoint,
        "searcher": {"name": "single", "metric": "validation_loss", "max_length": 6},
        "hyperparameters": hparams,
        "resources": {"slots_per_trial": slots},
        "max_restarts": restarts,
    }
    path = scratch / "ranks.yaml"
    path.write_text(json.dumps(config))
    done = master.det("e", "create", str(path), str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    return created(done.stdout)


def lines_of(session: Session, trial: int) -> list[tuple[int | None, str]]:
    """Rank and text of every line of a trial's log."""
    answers = session.stream(f"/api/v1/trials/{trial}/logs", {"follow": False})
    entries = [answer["result"] for answer in answers]
    return [(entry.get("rankId"), entry["log"].rstrip("\n")) for entry in entries]


def log_of(session: Session, trial: int) -> str:
    return "\n".join(f"{rank}: {text}" for rank, text in lines_of(session, trial))


def until_stopped(session: Session, experiment: int) -> None:
    for line in session.stream(f"/api/v1/experiments/{experiment}/watch", {"follow": True}):
        if line["result"]["trials"]["running"] == 0:
            return


def checkpoints_of(session: Session, experiment: int) -> list[dict[str, Any]]:
    answer = session.get(f"/api/v1/experiments/{experiment}/checkpoints")
    found: list[dict[str, Any]] = answer["checkpoints"]
    return sorted(found, key=lambda one: int(one["metadata"]["steps_completed"]))


def until_at_the_pause(session: Session, trial: int, times: int) -> None:
    """Wait until so many ranks, of all runs of the trial, have said that they are half-way."""
    try:
        until_logged(session, trial, AT_THE_PAUSE, times)
    except AssertionError as error:
        raise AssertionError(log_of(session, trial)) from error


def pause_and_resume(master: LocalMaster, session: Session, experiment: int, trial: int, size: int) -> None:
    """From the pause at step 3 to the end at step 6: all ranks have stored and read shards, and have stayed in step."""
    assert master.det("e", "pause", str(experiment)).returncode == 0
    until_stopped(session, experiment)
    (paused,) = checkpoints_of(session, experiment)
    assert int(paused["metadata"]["steps_completed"]) == 3, log_of(session, trial)
    assert sorted(paused["resources"]) == [f"rank-{n}.json" for n in range(size)]
    assert master.det("e", "activate", str(experiment)).returncode == 0
    assert until_over(session, experiment) == "STATE_COMPLETED", log_of(session, trial)
    assert [t["restarts"] for t in trials_of(session, experiment)] == [0]
    told = lines_of(session, trial)
    # Half of the way to the mean of all ranks in each step: only if all of them have taken part in all steps.
    mean = (size - 1) / 2
    for rank in range(size):
        assert (rank, f"resumed after 3 steps with {mean * (1 - 0.5**3)}") in told
        assert (rank, f"ended with {mean * (1 - 0.5**6)}") in told
    assert [int(c["metadata"]["steps_completed"]) for c in checkpoints_of(session, experiment)][-1] == 6
