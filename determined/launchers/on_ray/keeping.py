"""The runs of one node, by what the master orders and asks. Does not import Ray."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from determined.errors import FailedPrecondition
from determined.launchers.deleting import delete_tree
from determined.launchers.local import LocalLauncher
from determined.launchers.on_ray.kept_run import KeptRun
from determined.launchers.on_ray.node import NodeFolder
from determined.launchers.on_ray.wire import KeptRun as RunRecord
from determined.launchers.on_ray.wire import News, Order
from determined.launchers.protocol import LogLine, RunExit


class Keeping:
    """All runs of a keeper, on one launcher of this machine, which keeps their templates. Call it from one loop."""

    def __init__(self, node: NodeFolder, name: str, node_id: str, idle_s: float, *, sets_threads: bool) -> None:
        """Take the keeper's folder, and end what dead keepers left.

        Args:
            node: this master's folder on the node.
            name: of the keeper.
            node_id: the Ray node.
            idle_s: see `stay`.
            sets_threads: ``OMP_NUM_THREADS`` of a run is the number of its CPUs, as Ray does it.
        """
        self._node = node
        self._node_id = node_id
        self._idle_s = idle_s
        self._sets_threads = sets_threads
        self._folder = node.claim(name)
        node.clear()
        # The launcher gives no slots: which devices a run has was decided by Ray.
        self._launcher = LocalLauncher(self._folder, 0, leashed=True)
        self._is_open = asyncio.Event()
        self._session = ""
        self._runs: dict[str, KeptRun] = {}
        self._starts: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    async def stay(self) -> None:
        """Open, and end this process after so long without runs."""
        await self._launcher.open(self)
        self._is_open.set()
        while True:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), None if self._runs else self._idle_s)
            except asyncio.TimeoutError:
                await self.leave()
                os._exit(0)

    async def hello(self, session: str | None) -> list[RunRecord]:
        """See `determined.launchers.on_ray.keeper.Keeper.hello`."""
        self._session = self._session if session is None else session
        self._changed.set()
        return [RunRecord(name, run.order.reservation, run.is_over) for name, run in self._runs.items()]

    async def begin(self, session: str, order: Order) -> News:
        """See `determined.launchers.on_ray.keeper.Keeper.begin`.

        Raises:
            FailedPrecondition: the order is of a driver that has been replaced.
        """
        if session != self._session:
            raise FailedPrecondition(f"the order to start {order.allocation_id} is of a driver that was replaced")
        if (run := self._runs.get(order.allocation_id)) is None:
            run = self._runs[order.allocation_id] = KeptRun(order, self._node, self._folder, self._launcher)
            self._changed.set()
            task = asyncio.create_task(self._start(run))
            self._starts.add(task)
            task.add_done_callback(self._starts.discard)
        return await run.news(0, False)

    async def _start(self, run: KeptRun) -> None:
        await self._is_open.wait()
        await run.begin(self._variables(run.order))

    def _variables(self, order: Order) -> dict[str, str]:
        """What only the node knows."""
        reservation = order.reservation
        cpus = reservation.place.bundles[order.seat].cpus
        env = {"DET_AGENT_ID": self._node_id, "CUDA_VISIBLE_DEVICES": reservation.seats[order.seat].gpus}
        if self._sets_threads and "OMP_NUM_THREADS" not in order.env:
            env["OMP_NUM_THREADS"] = str(max(cpus, 1))
        return env

    async def news(self, allocation_id: str, first: int, told_running: bool) -> News | None:
        """See `determined.launchers.on_ray.keeper.Keeper.news`."""
        run = self._runs.get(allocation_id)
        return None if run is None else await run.news(first, told_running)

    async def kill(self, allocation_id: str) -> bool:
        """See `determined.launchers.on_ray.keeper.Keeper.kill`."""
        run = self._runs.get(allocation_id)
        if run is not None:
            await run.kill()
        return run is not None

    async def finish(self, allocation_id: str) -> None:
        """See `determined.launchers.on_ray.keeper.Keeper.finish`."""
        run = self._runs.get(allocation_id)
        if run is not None:
            await run.finish()
            self._runs.pop(allocation_id, None)
            self._changed.set()

    async def leave(self) -> None:
        """See `determined.launchers.on_ray.keeper.Keeper.leave`."""
        await self._launcher.close()
        await asyncio.to_thread(delete_tree, self._folder)

    # What the launcher of this machine says

    async def on_running(self, allocation_id: str) -> None:
        """Pass it on."""
        await self._runs[allocation_id].on_running()

    async def on_logs(self, allocation_id: str, first: int, lines: Sequence[LogLine]) -> None:
        """Pass it on."""
        await self._runs[allocation_id].on_logs(first + len(lines))

    async def on_exit(self, allocation_id: str, end: RunExit) -> None:
        """Pass it on."""
        await self._runs[allocation_id].on_exit(end)
