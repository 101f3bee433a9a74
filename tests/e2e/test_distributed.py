"""Trials of several processes on one machine under a real master; `tests/on_ray` has them on several."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from determined.common.api.session import Session
from determined.testing.cluster import LocalMaster
from tests.e2e.ranks import (
    MULTI,
    TORCH,
    TORCHRUN,
    lines_of,
    log_of,
    pause_and_resume,
    submit,
    until_at_the_pause,
)
from tests.e2e.support import MODEL, events_of, trials_of, until_over, until_trial


@pytest.fixture(scope="module")
def session(master: LocalMaster) -> Iterator[Session]:
    with master.session() as opened:
        yield opened


@pytest.mark.parametrize(
    ("entrypoint", "torch"),
    [pytest.param(MULTI, False, id="multi"), pytest.param(TORCHRUN, True, id="torch", marks=TORCH)],
)
def test_ranks_train_in_step_store_in_shards_pause_and_resume(
    master: LocalMaster, session: Session, tmp_path: Path, entrypoint: str, torch: bool
) -> None:
    experiment = submit(master, tmp_path, entrypoint, torch=torch, pause_at=3)
    trial = until_trial(session, experiment)["id"]
    until_at_the_pause(session, trial, 2)
    pause_and_resume(master, session, experiment, trial, 2)
    metrics = session.get(f"/api/v1/trials/{trial}/workloads", params={"limit": -1})["workloads"]
    assert len([w for w in metrics if w.get("training")]) == 6


@pytest.mark.parametrize("entrypoint", [MULTI, pytest.param(TORCHRUN, marks=TORCH)], ids=["multi", "torch"])
def test_a_killed_rank_ends_the_run_with_its_exit_code_and_counts_as_one_failure(
    master: LocalMaster, session: Session, tmp_path: Path, entrypoint: str
) -> None:
    experiment = submit(master, tmp_path, entrypoint, 1, die_at=2)
    assert until_over(session, experiment) == "STATE_ERROR"
    (trial,) = trials_of(session, experiment)
    assert trial["restarts"] == 1
    told = lines_of(session, trial["id"])
    assert [text for _, text in told if text == "dying"] == ["dying"] * 2
    ends = ["rank 1 has failed with exit code 137"]
    if entrypoint == TORCHRUN:
        # It looks ten times a second, and names the first rank of those that it finds dead: rank 0 has lost its peer.
        ends.append("rank 0 has failed with exit code 1")
    assert any(end in text for end in ends for _, text in told), log_of(session, trial["id"])


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
