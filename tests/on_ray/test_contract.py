"""The launcher's contract on Ray."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from determined.launchers.on_ray.launcher import RayLauncher, RayOptions
from determined.launchers.protocol import Launcher
from determined.testing.launcher_contract import LauncherContract
from tests.on_ray.support import ArchiveServer, RayCluster


class TestRayLauncher(LauncherContract):
    many = 6  # each is an actor with an interpreter of its own

    @pytest.fixture(autouse=True)
    def _use(self, cluster: RayCluster, archives: ArchiveServer) -> None:
        self.cluster = cluster
        self.archives = archives

    def make_launcher(self, folder: Path) -> Launcher:
        name = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
        return RayLauncher(RayOptions(self.cluster.address, slots=4), name, folder / "ray", self.archives.locate)
