"""What Ray runs on a node: one actor for each run. Its death is the run's, and it keeps the run's end for the master.

The run itself is a process of `determined.launchers.local`, as on a laptop: with a shim, a session and a spool.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import ray

from determined import files
from determined.errors import DeterminedError
from determined.launchers.local import KILLED, LocalLauncher
from determined.launchers.on_ray.node import NodeFolder
from determined.launchers.on_ray.wire import CERTIFICATE_VARIABLE, News, Order
from determined.launchers.prepare import delete_tree
from determined.launchers.protocol import LogLine, RunExit
from determined.launchers.spool_reader import SpoolReader

POLL_S = 60.0
"""After which a question without news is answered with nothing, so that those of dead masters do not pile up."""


class Keeper:
    """The Ray actor. A thread of its own does the work, so that the run starts although nobody asks."""

    def __init__(self, order: bytes) -> None:
        self._loop = asyncio.new_event_loop()
        context = ray.get_runtime_context()
        node_id = context.get_node_id()
        gpus = ",".join(context.get_accelerator_ids().get("GPU", ()))
        self._run = _KeptRun(msgspec.msgpack.decode(order, type=Order), node_id, gpus)
        threading.Thread(target=self._serve, name="run", daemon=True).start()
        threading.Thread(target=_end_with, args=(os.getppid(),), name="raylet", daemon=True).start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.create_task(self._run.begin())
        self._loop.run_forever()

    async def news(self, first: int, told_running: bool) -> bytes:
        """Wait for news: lines from ``first`` on, that the process exists, or the end."""
        news = asyncio.run_coroutine_threadsafe(self._run.news(first, told_running), self._loop)
        return msgspec.msgpack.encode(await asyncio.wrap_future(news))

    async def kill(self) -> None:
        """Kill the run; its end comes as news."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._run.kill(), self._loop))

    async def finish(self) -> None:
        """The master has the end: delete everything."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._run.finish(), self._loop))


def _end_with(raylet: int) -> None:
    """End this process, and so the run, when the raylet does: the head counts the run as lost then.

    Ray looks for it too, but only now and then, and takes a raylet for alive whose parent has not heard of its death.
    """
    if hasattr(os, "pidfd_open"):
        handle = os.pidfd_open(raylet)
        select.select([handle], [], [])
        os._exit(1)


class _KeptRun:
    """The run, and what is known of it; the listener of its launcher."""

    def __init__(self, order: Order, node_id: str, gpus: str) -> None:
        self._order = order
        self._node_id = node_id
        self._gpus = gpus
        self._folder: Path | None = None
        self._launcher: LocalLauncher | None = None
        self._running = False
        self._lines = 0
        self._end: RunExit | None = None
        self._kill_wanted = False
        self._changed = asyncio.Condition()
        self._reader: SpoolReader | None = None
        self._reading = asyncio.Lock()

    async def begin(self) -> None:
        """Start the run."""
        try:
            node = await asyncio.to_thread(NodeFolder, self._order.cluster)
            folder = self._folder = await asyncio.to_thread(node.claim, self._order.allocation_id)
            await self._start(node, folder)
        except (OSError, DeterminedError) as error:
            await self._conclude(RunExit(None, time.time(), f"the run could not be started on a node: {error}"))
            return
        with contextlib.suppress(OSError):
            await asyncio.to_thread(node.clear)

    async def _start(self, node: NodeFolder, folder: Path) -> None:
        certificate = await asyncio.to_thread(self._write_certificate, folder)
        place = self._order.context
        context = None if place is None else await asyncio.to_thread(node.fetch, place, folder, certificate)
        if self._end is not None:
            return
        env = {"DET_AGENT_ID": self._node_id, "CUDA_VISIBLE_DEVICES": self._gpus}
        env |= {} if certificate is None else {CERTIFICATE_VARIABLE: str(certificate)}
        launcher = self._launcher = LocalLauncher(folder, 0, leashed=True)
        await launcher.open(self)
        await launcher.start(self._order.spec(sys.executable, context, env))
        if self._kill_wanted:
            await launcher.kill(self._order.allocation_id)

    def _write_certificate(self, folder: Path) -> Path | None:
        """Where the run finds it: the master's own file is on another machine."""
        if self._order.certificate is None:
            return None
        path = folder / "master.pem"
        files.write_file(path, self._order.certificate.encode(), "node.certificate", 0o600, sync=False)
        return path

    async def news(self, first: int, told_running: bool) -> News:
        """See `Keeper.news`."""
        async with self._changed:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait_for(lambda: self._is_new(first, told_running)), POLL_S)
        lines: list[LogLine] = []
        if self._lines > first:
            async with self._reading:
                lines = await asyncio.to_thread(self._read, first)
        is_all = first + len(lines) >= self._lines
        return News(
            node_id=self._node_id,
            folder=str(self._folder),
            running=self._running,
            slots=self._order.slots,
            first=first,
            lines=lines,
            end=self._end if is_all else None,
        )

    def _is_new(self, first: int, told_running: bool) -> bool:
        return self._lines > first or self._end is not None or (self._running and not told_running)

    def _read(self, first: int) -> list[LogLine]:
        """Lines from ``first`` on; cheap for who asks for one after the other."""
        if self._reader is None or self._reader.next_index > first:
            assert self._launcher is not None
            self._reader = SpoolReader(self._launcher.log_path(self._order.allocation_id))
        self._reader.skip_to(first)
        return self._reader.read(final=self._end is not None)

    async def kill(self) -> None:
        """See `Keeper.kill`."""
        self._kill_wanted = True
        if self._launcher is None:
            await self._conclude(RunExit(KILLED, time.time(), "killed before it had a process."))
        else:
            await self._launcher.kill(self._order.allocation_id)

    async def finish(self) -> None:
        """See `Keeper.finish`."""
        if self._launcher is not None:
            await self._launcher.close()
        if self._folder is not None:
            await asyncio.to_thread(delete_tree, self._folder)

    async def _conclude(self, end: RunExit) -> None:
        async with self._changed:
            if self._end is None:
                self._end = end
            self._changed.notify_all()

    # What the run's launcher says

    async def on_running(self, allocation_id: str) -> None:
        """Pass it on."""
        async with self._changed:
            self._running = True
            self._changed.notify_all()

    async def on_logs(self, allocation_id: str, first: int, lines: Sequence[LogLine]) -> None:
        """Pass on that there are lines; they are read from the disk, for a master that may want older ones."""
        async with self._changed:
            self._lines = first + len(lines)
            self._changed.notify_all()

    async def on_exit(self, allocation_id: str, end: RunExit) -> None:
        """Pass it on."""
        await self._conclude(end)


def sweep_run(folder: str) -> None:
    """A task for the node of a keeper that died: returns when no process of its run is left."""
    path = Path(folder)
    NodeFolder(path.parent.name).sweep(path)
