"""A search on a Ray cluster of three nodes, through everything that can be killed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil

from determined.testing.cluster import LocalMaster
from tests.e2e.support import MODEL, created, trials_of, until_logged, until_over, until_running, write_config
from tests.on_ray.search import HELLO, Search, assert_ends_as_if_nothing_had_happened
from tests.on_ray.support import RayCluster, on


def test_a_search_goes_on_whatever_is_killed(
    middle: Search, undisturbed: dict[str, Any], cluster: RayCluster, master: LocalMaster
) -> None:
    """The process beside the master that talks to Ray, the master, a raylet, and actors with all that watches runs."""
    agents = {agent["id"]: agent for agent in middle.session.get("/api/v1/agents")["agents"]}
    assert set(agents) == {cluster.id_of(name) for name in cluster.nodes}
    assert {len(agents[cluster.id_of(name)]["containers"]) for name in ("first", "second")} == {1}
    assert agents[cluster.id_of("head")]["slots"] == {}

    pids = {process.pid for process in cluster.runs()}
    [driver] = psutil.Process(master.pid).children()
    driver.kill()
    master.kill()
    master.start()
    assert {process.pid for process in cluster.runs()} == pids

    runs = cluster.runs_on("second")
    cluster.kill_raylet("second")
    psutil.wait_procs(runs)
    cluster.replace("second")
    runs = cluster.runs()
    for process in [*cluster.shims(), *cluster.keepers()]:
        process.kill()
    psutil.wait_procs(runs)
    assert_ends_as_if_nothing_had_happened(middle, undisturbed, cluster)


def test_kill_leaves_nothing_on_any_node(middle: Search, cluster: RayCluster, master: LocalMaster) -> None:
    """Runs that have a process, and the one that waits in Ray for a place."""
    assert master.det("e", "kill", str(middle.id)).returncode == 0
    assert until_over(middle.session, middle.id) == "STATE_CANCELED"
    assert cluster.runs() == []
    cluster.until_nothing_is_left()


def test_nodes_trust_the_certificate_of_their_master(cluster: RayCluster, tmp_path: Path) -> None:
    """The file that says so is on the master's machine, so each run gets a copy."""
    with LocalMaster(tmp_path / "m", arguments=[*on(cluster), "--tls", "self-signed"]) as master:
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        created_id = created(master.det("e", "create", write_config(tmp_path, gate=str(gate)), str(MODEL)).stdout)
        with master.session() as session:
            until_running(session, created_id)
            until_logged(session, trials_of(session, created_id)[0]["id"], HELLO)
            [place] = {process.environ()["DET_MASTER_CERT_FILE"] for process in cluster.runs()}
            assert not Path(place).is_relative_to(master.data)
            opened = os.open(gate, os.O_RDWR)
            assert until_over(session, created_id) == "STATE_COMPLETED"
            os.close(opened)
