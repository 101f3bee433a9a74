"""Actors, raylets, nodes, the head and the master are killed in the middle of a search, one at a time.

``make test-ray`` plays these; the rest of this folder is part of every run of the tests.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Any

import psutil
import pytest

from determined.testing.cluster import LocalMaster
from tests.e2e.ranks import MULTI, lines_of, pause_and_resume, submit, until_at_the_pause
from tests.e2e.support import until_trial
from tests.on_ray.search import Search, assert_ends_as_if_nothing_had_happened, search
from tests.on_ray.support import RayCluster, on


def test_a_killed_actor_takes_its_run_with_it_and_the_run_is_done_again(
    middle: Search, undisturbed: dict[str, Any], cluster: RayCluster
) -> None:
    runs = cluster.runs()
    for keeper in cluster.keepers():
        keeper.kill()
    psutil.wait_procs(runs)
    assert_ends_as_if_nothing_had_happened(middle, undisturbed, cluster)


def test_an_actor_and_the_process_beside_its_run_are_killed_together(
    middle: Search, undisturbed: dict[str, Any], cluster: RayCluster
) -> None:
    runs = cluster.runs()
    for process in [*cluster.shims(), *cluster.keepers()]:
        process.kill()
    psutil.wait_procs(runs)
    assert_ends_as_if_nothing_had_happened(middle, undisturbed, cluster)


def test_a_raylet_is_killed(middle: Search, undisturbed: dict[str, Any], cluster: RayCluster) -> None:
    runs = cluster.runs_on("second")
    cluster.kill_raylet("second")
    psutil.wait_procs(runs)
    cluster.replace("second")
    assert_ends_as_if_nothing_had_happened(middle, undisturbed, cluster)


def test_a_node_is_removed(middle: Search, undisturbed: dict[str, Any], cluster: RayCluster) -> None:
    runs = cluster.runs_on("second")
    cluster.remove("second")
    psutil.wait_procs(runs)
    cluster.add("second", 1)
    assert_ends_as_if_nothing_had_happened(middle, undisturbed, cluster)


@pytest.mark.parametrize("how", ["raylet", "node"])
def test_a_node_of_a_trial_on_two_of_them_dies_which_is_nobodys_fault(
    master: LocalMaster, tmp_path: Path, cluster: RayCluster, how: str
) -> None:
    """The ranks elsewhere fail because of it, long before Ray has noticed."""
    experiment = submit(master, tmp_path, MULTI, pause_at=3)
    with master.session() as session:
        trial = until_trial(session, experiment)["id"]
        until_at_the_pause(session, trial, 2)
        runs = cluster.runs()
        if how == "raylet":
            cluster.kill_raylet("second")
            psutil.wait_procs(runs)
            cluster.replace("second")
        else:
            cluster.remove("second")
            psutil.wait_procs(runs)
            cluster.add("second", 1)
        until_at_the_pause(session, trial, 4)
        assert any("was lost" in text for _, text in lines_of(session, trial))
        pause_and_resume(master, session, experiment, trial, 2)
    cluster.until_nothing_is_left()


def test_a_master_is_killed_and_takes_its_runs_up_again(
    middle: Search, undisturbed: dict[str, Any], cluster: RayCluster, master: LocalMaster
) -> None:
    runs = {process.pid for process in cluster.runs()}
    for _ in range(2):
        master.kill()
        master.start()
    assert {process.pid for process in cluster.runs()} == runs
    assert_ends_as_if_nothing_had_happened(middle, undisturbed, cluster)


def test_the_whole_cluster_goes_away_and_comes_back(
    tmp_path: Path, gate: Path, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The master goes on to serve, says what is wrong, and has everything that was lost run on the new cluster."""
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "2")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with contextlib.ExitStack() as stack:
        with RayCluster(port, first=1, second=1) as cluster:
            master = stack.enter_context(LocalMaster(tmp_path / "m", slots=8, arguments=on(cluster)))
            running = stack.enter_context(search(master, tmp_path, gate))
            running.until_at_work(2)
        assert cluster.runs() == []
        for line in running.session.stream("/api/v1/master/logs", {"follow": True}):
            if "cannot be reached" in line["result"]["logEntry"]["message"]:
                break
        assert running.session.get("/api/v1/agents")["agents"] == []
        with RayCluster(port, first=1, second=1) as cluster:
            assert_ends_as_if_nothing_had_happened(running, undisturbed, cluster)
