"""A run on a node, and what is known of it, for whichever master asks."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from determined import files
from determined.errors import DeterminedError
from determined.launchers.deleting import delete_tree
from determined.launchers.local import KILLED, LocalLauncher
from determined.launchers.on_ray.node import NodeFolder
from determined.launchers.on_ray.wire import CERTIFICATE_VARIABLE, News, Order
from determined.launchers.protocol import LogLine, RunExit
from determined.launchers.spool_reader import SpoolReader

POLL_S = 60.0
"""After which a question without news is answered with nothing, so that those of dead masters do not pile up."""
_PARCELS = "parcels"


class KeptRun:
    """One run of a keeper, from its order to its dismissal."""

    def __init__(self, order: Order, node: NodeFolder, keeper_folder: Path, launcher: LocalLauncher) -> None:
        self.order = order
        self._node = node
        self._launcher = launcher
        self._parcel = keeper_folder / _PARCELS / order.allocation_id
        self._begun = False
        self._running = False
        self._lines = 0
        self._end: RunExit | None = None
        self._kill_wanted = False
        self._changed = asyncio.Condition()
        self._reader: SpoolReader | None = None
        self._reading = asyncio.Lock()

    @property
    def is_over(self) -> bool:
        """Whether its processes are gone."""
        return self._end is not None

    async def begin(self, env: Mapping[str, str]) -> None:
        """Start it.

        Args:
            env: variables that only the node knows.
        """
        try:
            certificate, context = await asyncio.to_thread(self._fetch)
            if self._end is not None:
                return
            env = env if certificate is None else {**env, CERTIFICATE_VARIABLE: str(certificate)}
            await self._launcher.start(self.order.spec(sys.executable, context, env))
            self._begun = True
        except (OSError, DeterminedError) as error:
            await self._conclude(RunExit(None, time.time(), f"the run could not be started on a node: {error}"))
            return
        if self._kill_wanted:
            await self._launcher.kill(self.order.allocation_id)

    def _fetch(self) -> tuple[Path | None, Path | None]:
        """The certificate, for the master's own file is on another machine, and the model definition."""
        certificate = None
        files.make_folder(self._parcel.parent, "node.parcels", 0o700)
        files.make_folder(self._parcel, "node.parcel", 0o700)
        if self.order.certificate is not None:
            certificate = self._parcel / "master.pem"
            files.write_file(certificate, self.order.certificate.encode(), "node.certificate", 0o600, sync=False)
        place = self.order.context
        return certificate, None if place is None else self._node.fetch(place, self._parcel, certificate)

    async def news(self, first: int, told_running: bool) -> News:
        """Wait for news: lines from ``first`` on, that the process exists, or the end."""
        async with self._changed:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait_for(lambda: self._is_new(first, told_running)), POLL_S)
        lines: list[LogLine] = []
        if self._lines > first:
            async with self._reading:
                lines = await asyncio.to_thread(self._read, first)
        is_all = first + len(lines) >= self._lines
        return News(running=self._running, first=first, lines=lines, end=self._end if is_all else None)

    def _is_new(self, first: int, told_running: bool) -> bool:
        return self._lines > first or self._end is not None or (self._running and not told_running)

    def _read(self, first: int) -> list[LogLine]:
        """Lines from ``first`` on; cheap for who asks for one after the other."""
        if self._reader is None or self._reader.next_index > first:
            self._reader = SpoolReader(self._launcher.log_path(self.order.allocation_id))
        self._reader.skip_to(first)
        return self._reader.read(final=self._end is not None)

    async def kill(self) -> None:
        """Kill it; its end comes as news."""
        self._kill_wanted = True
        if self._begun:
            await self._launcher.kill(self.order.allocation_id)
        else:
            await self._conclude(RunExit(KILLED, time.time(), "killed before it had a process."))

    async def finish(self) -> None:
        """Delete everything of a run, which is killed if it is not over."""
        if self._end is None:
            await self.kill()
            async with self._changed:
                await self._changed.wait_for(lambda: self._end is not None)
        if self._begun:
            await self._launcher.remove(self.order.allocation_id)
        await asyncio.to_thread(delete_tree, self._parcel)

    async def on_running(self) -> None:
        """Its process exists."""
        async with self._changed:
            self._running = True
            self._changed.notify_all()

    async def on_logs(self, lines: int) -> None:
        """There are so many lines; they are read from the disk, for a master that may want older ones."""
        async with self._changed:
            self._lines = lines
            self._changed.notify_all()

    async def on_exit(self, end: RunExit) -> None:
        """It is over."""
        await self._conclude(end)

    async def _conclude(self, end: RunExit) -> None:
        async with self._changed:
            if self._end is None:
                self._end = end
            self._changed.notify_all()
