"""One cluster for the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.on_ray.support import ArchiveServer, RayCluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with RayCluster(first=1, second=1) as running:
        yield running


@pytest.fixture(scope="module")
def archives() -> Iterator[ArchiveServer]:
    server = ArchiveServer()
    yield server
    server.close()
