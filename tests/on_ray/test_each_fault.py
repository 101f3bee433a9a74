"""Actors, raylets, nodes, the head and the master are killed in the middle of a search, one at a time.

``make test-ray`` plays these; the rest of this folder is part of every run of the tests.
"""

from __future__ import annotations

from typing import Any

import psutil

from determined.testing.cluster import LocalMaster
from tests.on_ray.search import Search, assert_ends_as_if_nothing_had_happened
from tests.on_ray.support import RayCluster


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


def test_a_master_is_killed_and_takes_its_runs_up_again(
    middle: Search, undisturbed: dict[str, Any], cluster: RayCluster, master: LocalMaster
) -> None:
    runs = {process.pid for process in cluster.runs()}
    for _ in range(2):
        master.kill()
        master.start()
    assert {process.pid for process in cluster.runs()} == runs
    assert_ends_as_if_nothing_had_happened(middle, undisturbed, cluster)
