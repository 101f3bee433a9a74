"""Trials of several processes under a real master, on one machine and on what looks like two."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from determined.common.api.session import Session
from determined.testing.cluster import LocalMaster
from tests.e2e.support import MODEL, SCRIPTS, created, events_of, trials_of, until_logged, until_over

TORCH = (
    pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch: the extra [torch]"),
    # Each process imports PyTorch, which takes as long as the machine is busy.
    pytest.mark.timeout(600),
)
MULTI = "python3 -m determined.launch.multi -- python3 train.py"
TORCHRUN = "python3 -m determined.launch.torch_distributed -- python3 train.py"
NODES = "python3 two_nodes.py"


@pytest.fixture(scope="module")
def session(master: LocalMaster) -> Iterator[Session]:
    with master.session() as opened:
        yield opened


def submit(
    master: LocalMaster,
    scratch: Path,
    entrypoint: str,
    restarts: int = 0,
    folder: Path = SCRIPTS / "distributed",
    **hparams: Any,
) -> int:
    config = {
        "name": "ranks",
        "entrypoint": entrypoint,
        "searcher": {"name": "single", "metric": "validation_loss", "max_length": 6},
        "hyperparameters": hparams,
        "resources": {"slots_per_trial": 2},
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


def until_stopped(session: Session, experiment: int) -> None:
    for line in session.stream(f"/api/v1/experiments/{experiment}/watch", {"follow": True}):
        if line["result"]["trials"]["running"] == 0:
            return


def log_of(session: Session, trial: int) -> str:
    return "\n".join(f"{rank}: {text}" for rank, text in lines_of(session, trial))


def checkpoints_of(session: Session, experiment: int) -> list[dict[str, Any]]:
    answer = session.get(f"/api/v1/experiments/{experiment}/checkpoints")
    found: list[dict[str, Any]] = answer["checkpoints"]
    return sorted(found, key=lambda one: int(one["metadata"]["steps_completed"]))


@pytest.mark.parametrize(
    ("entrypoint", "size", "torch"),
    [
        pytest.param(MULTI, 2, False, id="multi"),
        pytest.param(f"{NODES} -m determined.launch.multi -- python3 train.py", 4, False, id="multi-two-nodes"),
        pytest.param(TORCHRUN, 2, True, id="torch", marks=TORCH),
        pytest.param(
            f"{NODES} -m determined.launch.torch_distributed -- python3 train.py",
            4,
            True,
            id="torch-two-nodes",
            marks=TORCH,
        ),
    ],
)
def test_ranks_train_in_step_store_in_shards_pause_and_resume(
    master: LocalMaster, session: Session, tmp_path: Path, entrypoint: str, size: int, torch: bool
) -> None:
    experiment = submit(master, tmp_path, entrypoint, torch=torch, pause_at=3)
    (trial,) = (t["id"] for t in until_trials(session, experiment))
    try:
        until_logged(session, trial, "waiting for the pause", size)
    except AssertionError as error:
        raise AssertionError(log_of(session, trial)) from error
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
    metrics = session.get(f"/api/v1/trials/{trial}/workloads", params={"limit": -1})["workloads"]
    assert len([w for w in metrics if w.get("training")]) == 6


@pytest.mark.parametrize(
    "entrypoint",
    [
        MULTI,
        f"{NODES} -m determined.launch.multi -- python3 train.py",
        pytest.param(TORCHRUN, marks=TORCH),
    ],
    ids=["multi", "multi-two-nodes", "torch"],
)
def test_a_killed_rank_ends_the_run_with_its_exit_code_and_counts_as_one_failure(
    master: LocalMaster, session: Session, tmp_path: Path, entrypoint: str
) -> None:
    experiment = submit(master, tmp_path, entrypoint, 1, die_at=2)
    assert until_over(session, experiment) == "STATE_ERROR"
    (trial,) = trials_of(session, experiment)
    assert trial["restarts"] == 1
    told = lines_of(session, trial["id"])
    assert [text for _, text in told if text == "dying"] == ["dying"] * 2
    last = 3 if NODES in entrypoint else 1
    assert any(f"rank {last} has failed with exit code 137" in text for _, text in told), log_of(session, trial["id"])


@pytest.mark.parametrize("rank", [-1, 0, 1])
def test_hyperparameters_that_all_or_one_of_the_ranks_cannot_train_are_told_to_the_search(
    master: LocalMaster, session: Session, tmp_path: Path, rank: int
) -> None:
    experiment = submit(master, tmp_path, MULTI, 1, invalid=rank)
    assert until_over(session, experiment) == "STATE_COMPLETED"
    reasons = [e["trialExitedEarly"]["exitedReason"] for e in events_of(master, experiment) if "trialExitedEarly" in e]
    assert reasons == ["EXITED_REASON_INVALID_HP"]
    assert [t["restarts"] for t in trials_of(session, experiment)] == [0]


def test_a_plain_script_holds_several_slots_as_one_process(
    master: LocalMaster, session: Session, tmp_path: Path
) -> None:
    experiment = submit(master, tmp_path, "python3 train.py", 0, folder=MODEL, x=0.5)
    assert until_over(session, experiment) == "STATE_COMPLETED"
    (trial,) = trials_of(session, experiment)
    assert "hello from trial" in log_of(session, trial["id"])


def test_ranks_without_a_context_are_told_how_to_make_one(
    master: LocalMaster, session: Session, tmp_path: Path
) -> None:
    experiment = submit(master, tmp_path, MULTI, 0, folder=MODEL, x=0.5)
    assert until_over(session, experiment) == "STATE_ERROR"
    (trial,) = trials_of(session, experiment)
    assert "DistributedContext.from_torch_distributed()" in log_of(session, trial["id"])


def until_trials(session: Session, experiment: int) -> list[dict[str, Any]]:
    for _ in session.stream(f"/api/v1/experiments/{experiment}/watch", {"follow": True}):
        if found := trials_of(session, experiment):
            return found
    raise AssertionError("the experiment ended without a trial")
