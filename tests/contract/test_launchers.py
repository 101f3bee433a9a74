"""Every launcher against the contract."""

from __future__ import annotations

from pathlib import Path

from determined.launchers.local import LocalLauncher
from determined.launchers.protocol import Launcher
from determined.testing.launcher_contract import LauncherContract


class TestLocalLauncher(LauncherContract):
    def make_launcher(self, folder: Path) -> Launcher:
        return LocalLauncher(folder, slots=2)
