"""One cluster for the tests of a file, and a search on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from determined.testing.cluster import LocalMaster
from tests.on_ray.search import Search, search
from tests.on_ray.support import ArchiveServer, RayCluster, on


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with RayCluster(first=1, second=1) as running:
        yield running


@pytest.fixture(scope="module")
def archives() -> Iterator[ArchiveServer]:
    server = ArchiveServer()
    yield server
    server.close()


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
    with LocalMaster(tmp_path / "m", slots=8, arguments=on(cluster)) as running:
        yield running


@pytest.fixture
def middle(master: LocalMaster, tmp_path: Path, gate: Path, cluster: RayCluster) -> Iterator[Search]:
    """A search of which two trials are at work, on two nodes, and one waits in Ray."""
    with search(master, tmp_path, gate) as running:
        running.until_at_work(2)
        assert {cluster.node_of(process) for process in cluster.runs()} == {"first", "second"}
        yield running
