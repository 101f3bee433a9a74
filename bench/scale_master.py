"""A master whose runs are simulated by a process of clients: ``python -m bench.scale_master SOCKET ARGUMENTS...``.

It is the real one but for its launcher: instead of starting a process it tells the clients, over a Unix socket on which
they listen, and they say how the run ended. The clients outlive the master, as processes would.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from determined.launchers.protocol import LauncherListener, RunExit, RunSpec, Slot, SlotKind
from determined.master import app
from determined.master.__main__ import main

_LONGEST_LINE = 1 << 20


class ClientsLauncher:
    """Hands runs to the clients; they keep what became of each until the master has asked to forget it."""

    name = "clients"

    def __init__(self, path: str, slots: int) -> None:
        self._path = path
        self._slots = tuple(Slot(number, SlotKind.CPU, f"client {number}") for number in range(slots))
        self._followed: set[str] = set()
        self._reading: asyncio.Task[None] | None = None

    def slots(self) -> Sequence[Slot]:
        """As many as the master was started with."""
        return self._slots

    async def open(self, listener: LauncherListener) -> None:
        """Connect, and hear which runs the clients know of."""
        self._listener = listener
        reader, self._writer = await asyncio.open_unix_connection(self._path, limit=_LONGEST_LINE)
        self._known = dict(json.loads(await reader.readline()))
        self._reading = asyncio.create_task(self._read(reader))

    async def start(self, spec: RunSpec) -> None:
        """Tell the clients what the process would find in its environment."""
        if spec.allocation_id not in self._followed:
            self._followed.add(spec.allocation_id)
            wanted = ("DET_MASTER", "DET_ALLOCATION_ID", "DET_RESOURCES_ID", "DET_SESSION_TOKEN", "DET_TRIAL_ID")
            self._say("start", spec.allocation_id, {name: spec.env[name] for name in wanted})

    async def adopt(self, allocation_id: str, lines_known: int) -> bool:
        """Whether the clients know of a run; one that has ended meanwhile is reported at once."""
        if allocation_id not in self._known:
            return False
        self._followed.add(allocation_id)
        code = self._known[allocation_id]
        if code is not None:
            self._task = asyncio.create_task(self._tell_end(allocation_id, code))
        return True

    async def kill(self, allocation_id: str) -> None:
        """Clients have no processes to kill."""

    async def remove(self, allocation_id: str) -> None:
        """There is nothing of it left."""

    async def close(self) -> None:
        """Leave the clients to themselves."""
        if self._reading is not None:
            self._reading.cancel()
            self._writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            allocation_id, code = json.loads(line)
            if allocation_id in self._followed:
                await self._tell_end(allocation_id, code)

    async def _tell_end(self, allocation_id: str, code: int) -> None:
        await self._listener.on_exit(allocation_id, RunExit(code, time.time()))
        # The master has it on the disk, so nobody will ask for it again.
        self._followed.discard(allocation_id)
        self._say("forget", allocation_id, {})

    def _say(self, what: str, allocation_id: str, more: dict[str, Any]) -> None:
        self._writer.write(json.dumps([what, allocation_id, more]).encode() + b"\n")


if __name__ == "__main__":
    socket_path, *arguments = sys.argv[1:]
    setattr(app, "LocalLauncher", lambda data, slots: ClientsLauncher(socket_path, slots or 2))  # noqa: B010
    sys.exit(main(arguments))
