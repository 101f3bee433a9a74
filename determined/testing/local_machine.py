"""A data folder with local launchers on it, one after the other, for tests with real processes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from determined.launchers.environment import RUN_FOLDER
from determined.launchers.local import LocalLauncher
from determined.testing.launcher_contract import RecordingListener


class Machine:
    """What outlives a master."""

    def __init__(self, data: Path) -> None:
        self.data = data.resolve()

    @contextlib.asynccontextmanager
    async def opened(
        self, lines_known: Mapping[str, int] | None = None
    ) -> AsyncIterator[tuple[LocalLauncher, RecordingListener]]:
        """An open launcher and its listener."""
        launcher, listener = LocalLauncher(self.data, slots=2), RecordingListener(lines_known)
        await launcher.open(listener)
        try:
            yield launcher, listener
        finally:
            await launcher.close()

    def folder(self, allocation_id: str = "1.a.1") -> Path:
        """A run's folder."""
        return self.data / "runs" / allocation_id

    def shim(self, allocation_id: str = "1.a.1") -> dict[str, Any]:
        """What the shim has put on record."""
        found: dict[str, Any] = json.loads(self.folder(allocation_id).joinpath("shim.json").read_bytes())
        return found

    def processes(self, allocation_id: str = "1.a.1") -> list[int]:
        """Live processes that carry a run's folder in their environment."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(RUN_FOLDER) == str(self.folder(allocation_id)):
                    found.append(process.pid)
        return found
