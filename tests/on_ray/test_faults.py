"""Actors, nodes, raylets and the master are killed in the middle of a search; it ends as if nothing had happened."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from determined.errors import DeterminedError
from determined.testing.cluster import LocalMaster
from determined.testing.digest import difference, digest
from tests.e2e.support import MODEL, SCRIPTS, started_experiment, trials_of, until_logged, until_over, until_running
from tests.on_ray.support import RayCluster

HELLO = "hello from trial"


class Search:
    """A search in its middle: as many trials as there is room for wait at a gate."""

    def __init__(self, master: LocalMaster, folder: Path, gate: Path) -> None:
        gate.unlink(missing_ok=True)
        os.mkfifo(gate)
        self.master = master
        self.session = master.session()
        self._gate = gate
        command = [sys.executable, str(SCRIPTS / "run_gated.py"), str(MODEL), str(folder / "searcher"), str(gate)]
        self.runner = subprocess.Popen(command, env=master.env, stderr=subprocess.PIPE, text=True)
        self.id = started_experiment(self.runner)

    def until_at_work(self, count: int) -> None:
        """Wait until so many of its trials, whichever Ray has chosen, have begun."""
        until_running(self.session, self.id, 3)
        begun: queue.Queue[int] = queue.Queue()

        def wait_for(trial: int) -> None:
            with contextlib.suppress(OSError, AssertionError, DeterminedError), self.master.session() as session:
                until_logged(session, trial, HELLO)
                begun.put(trial)

        for trial in trials_of(self.session, self.id):
            threading.Thread(target=wait_for, args=(trial["id"],), daemon=True).start()
        for _ in range(count):
            begun.get()

    def finish(self) -> dict[str, Any]:
        """Let all trials train, and wait for the end; what came of it."""
        opened = os.open(self._gate, os.O_RDWR)
        try:
            _, said = self.runner.communicate()
            assert self.runner.returncode == 0, said
            assert until_over(self.session, self.id) == "STATE_COMPLETED"
        finally:
            os.close(opened)
        assert [trial["restarts"] for trial in trials_of(self.session, self.id)] == [0, 0, 0]
        return digest(self.master.data, self.id, HELLO, killed=True)


@contextmanager
def search(master: LocalMaster, folder: Path, gate: Path) -> Iterator[Search]:
    """A search whose runner does not outlive the test."""
    made = Search(master, folder, gate)
    try:
        yield made
    finally:
        with made.runner:
            made.runner.kill()


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gate") / "gate"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, gate: Path) -> dict[str, Any]:
    """The same search on this machine, without Ray and without faults."""
    folder = tmp_path_factory.mktemp("local")
    with LocalMaster(folder / "m", slots=2) as master, search(master, folder, gate) as quiet:
        return quiet.finish()


@pytest.fixture
def master(tmp_path: Path, cluster: RayCluster) -> Iterator[LocalMaster]:
    with LocalMaster(tmp_path / "m", slots=8, arguments=["--ray", cluster.address]) as running:
        yield running


@pytest.fixture
def middle(master: LocalMaster, tmp_path: Path, gate: Path, cluster: RayCluster) -> Iterator[Search]:
    """A search of which two trials are at work, on two nodes, and one waits in Ray."""
    with search(master, tmp_path, gate) as running:
        running.until_at_work(2)
        assert {cluster.node_of(process) for process in cluster.runs()} == {"first", "second"}
        yield running


def run_on(cluster: RayCluster, node: str) -> list[psutil.Process]:
    return [process for process in cluster.runs() if cluster.node_of(process) == node]


def assert_ends_as_if_nothing_had_happened(middle: Search, undisturbed: dict[str, Any], cluster: RayCluster) -> None:
    assert difference(undisturbed, middle.finish()) == []
    cluster.until_nothing_is_left()


def test_trials_run_on_all_nodes_and_nothing_is_left(
    middle: Search, undisturbed: dict[str, Any], cluster: RayCluster, master: LocalMaster
) -> None:
    agents = {agent["id"]: agent for agent in middle.session.get("/api/v1/agents")["agents"]}
    assert set(agents) == {cluster.id_of(name) for name in cluster.nodes}
    assert {len(agents[cluster.id_of(name)]["containers"]) for name in ("first", "second")} == {1}
    assert agents[cluster.id_of("head")]["slots"] == {}
    assert_ends_as_if_nothing_had_happened(middle, undisturbed, cluster)


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
    runs = run_on(cluster, "second")
    cluster.kill_raylet("second")
    psutil.wait_procs(runs)
    cluster.replace("second")
    assert_ends_as_if_nothing_had_happened(middle, undisturbed, cluster)


def test_a_node_is_removed(middle: Search, undisturbed: dict[str, Any], cluster: RayCluster) -> None:
    runs = run_on(cluster, "second")
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


def test_kill_leaves_nothing_on_any_node(middle: Search, cluster: RayCluster, master: LocalMaster) -> None:
    """Runs that have a process, and the one that waits in Ray for a place."""
    assert master.det("e", "kill", str(middle.id)).returncode == 0
    assert until_over(middle.session, middle.id) == "STATE_CANCELED"
    assert cluster.runs() == []
    cluster.until_nothing_is_left()
