"""Trials of several processes on several nodes: four ranks on two nodes with two CPUs each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
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
from tests.e2e.support import trials_of, until_over, until_trial
from tests.on_ray.support import RayCluster, on

RANKS = 4


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with pytest.MonkeyPatch.context() as patched:
        # For PyTorch: the name of this machine may lead to an address that nobody listens at.
        patched.setenv("GLOO_SOCKET_IFNAME", "lo")
        with RayCluster(first=2, second=2) as running:
            yield running


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory, cluster: RayCluster) -> Iterator[LocalMaster]:
    with LocalMaster(tmp_path_factory.mktemp("master"), slots=8, arguments=on(cluster)) as running:
        yield running


@pytest.fixture
def session(master: LocalMaster) -> Iterator[Session]:
    with master.session() as opened:
        yield opened


@pytest.mark.parametrize(
    ("entrypoint", "torch"),
    [pytest.param(MULTI, False, id="multi"), pytest.param(TORCHRUN, True, id="torch", marks=TORCH)],
)
def test_ranks_on_two_nodes_train_in_step_whatever_is_killed_store_in_shards_pause_and_resume(
    master: LocalMaster, session: Session, tmp_path: Path, cluster: RayCluster, entrypoint: str, torch: bool
) -> None:
    """A lost part of a run takes the others with it, and nobody is to blame; a lost master takes nothing with it."""
    experiment = submit(master, tmp_path, entrypoint, slots=RANKS, torch=torch, pause_at=3)
    trial = until_trial(session, experiment)["id"]
    until_at_the_pause(session, trial, RANKS)
    runs = cluster.runs()
    assert {cluster.node_of(process) for process in runs} == {"first", "second"}
    agents = session.get("/api/v1/agents")["agents"]
    assert sorted(len(agent["slots"]) for agent in agents if agent["containers"]) == [2, 2]
    [keeper] = [process for process in cluster.keepers() if cluster.node_of(process) == "second"]
    keeper.kill()
    psutil.wait_procs(runs)
    until_at_the_pause(session, trial, 2 * RANKS)

    runs = cluster.runs()
    assert {cluster.node_of(process) for process in runs} == {"first", "second"}
    master.kill()
    master.start()
    assert {process.pid for process in cluster.runs()} == {process.pid for process in runs}
    pause_and_resume(master, session, experiment, trial, RANKS)
    said = [line for line in lines_of(session, trial) if "waiting for the pause" in line[1]]
    assert sorted(said) == sorted((rank, "waiting for the pause") for rank in 2 * list(range(RANKS)))
    cluster.until_nothing_is_left()


def test_a_rank_that_fails_ends_all_parts_and_counts_once(
    master: LocalMaster, session: Session, tmp_path: Path, cluster: RayCluster
) -> None:
    """The last rank dies, which is on the second node."""
    experiment = submit(master, tmp_path, MULTI, 1, slots=RANKS, die_at=2)
    assert until_over(session, experiment) == "STATE_ERROR"
    (trial,) = trials_of(session, experiment)
    assert trial["restarts"] == 1
    told = lines_of(session, trial["id"])
    assert [line for line in told if line[1] == "dying"] == [(RANKS - 1, "dying")] * 2, log_of(session, trial["id"])
    assert not any("was lost" in text for _, text in told), log_of(session, trial["id"])
    cluster.until_nothing_is_left()


def test_kill_leaves_no_process_on_any_node(
    master: LocalMaster, session: Session, tmp_path: Path, cluster: RayCluster
) -> None:
    experiment = submit(master, tmp_path, MULTI, slots=RANKS, pause_at=3)
    trial = until_trial(session, experiment)["id"]
    until_at_the_pause(session, trial, RANKS)
    assert master.det("e", "kill", str(experiment)).returncode == 0
    assert until_over(session, experiment) == "STATE_CANCELED"
    cluster.until_nothing_is_left()
