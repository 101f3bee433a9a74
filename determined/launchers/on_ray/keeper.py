"""What Ray runs on a node: one actor for each node and master. Its death is that of its runs, and it keeps their ends.

The runs themselves are processes of `determined.launchers.local`, as on a laptop: each with a shim, a session and a
spool, forked from templates that the actor keeps for those that come after.
"""

from __future__ import annotations

import asyncio
import os
import select
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec
import psutil
import ray

from determined.launchers.on_ray.keeping import Keeping
from determined.launchers.on_ray.node import NodeFolder
from determined.launchers.on_ray.wire import Order

T = TypeVar("T")


class Keeper:
    """The Ray actor. A thread of its own does the work, so that runs go on although nobody asks."""

    def __init__(self, cluster: str, name: str, idle_s: float) -> None:
        """Make ready for runs; ends what dead keepers have left on this node.

        Args:
            cluster: names the folder of this master's runs on a node.
            name: of this actor.
            idle_s: after so long without runs, and without a master that asks, the actor ends.
        """
        threading.Thread(target=_end_with, args=(os.getppid(),), name="raylet", daemon=True).start()
        context = ray.get_runtime_context()
        # Ray has set the variable by now for an actor without CPUs, so what it was set to before is looked up.
        has_threads = "OMP_NUM_THREADS" in psutil.Process().environ()
        self._node_id = context.get_node_id()
        self._loop = asyncio.new_event_loop()
        self._keeping = Keeping(NodeFolder(cluster), name, self._node_id, idle_s, sets_threads=not has_threads)
        threading.Thread(target=self._serve, name="runs", daemon=True).start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.create_task(self._keeping.stay())
        self._loop.run_forever()

    async def hello(self, session: str) -> bytes:
        """A driver is here; orders of those before it are refused from now on. Answers with all runs."""
        return msgspec.msgpack.encode((self._node_id, await self._do(self._keeping.hello(session))))

    async def begin(self, session: str, order: bytes) -> bytes:
        """Start a run, unless it was, and wait for the first news of it."""
        return msgspec.msgpack.encode(
            await self._do(self._keeping.begin(session, msgspec.msgpack.decode(order, type=Order)))
        )

    async def news(self, allocation_id: str, first: int, told_running: bool) -> bytes:
        """Wait for news of a run: lines from ``first`` on, that its process exists, or its end; None: it is unknown."""
        return msgspec.msgpack.encode(await self._do(self._keeping.news(allocation_id, first, told_running)))

    async def kill(self, allocation_id: str) -> bool:
        """Kill a run; its end comes as news. False when it is unknown."""
        return await self._do(self._keeping.kill(allocation_id))

    async def finish(self, allocation_id: str) -> None:
        """The master has the end of a run: delete everything of it."""
        await self._do(self._keeping.finish(allocation_id))

    async def leave(self) -> None:
        """End templates, and delete what there is on disk; the actor is ended next."""
        await self._do(self._keeping.leave())

    async def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))


def _end_with(raylet: int) -> None:
    """End this process, and so its runs, when the raylet does: the head counts them as lost then.

    Ray looks for it too, but only now and then, and takes a raylet for alive whose parent has not heard of its death.
    """
    if hasattr(os, "pidfd_open"):
        handle = os.pidfd_open(raylet)
        select.select([handle], [], [])
        os._exit(1)


def sweep_keeper(cluster: str, name: str) -> None:
    """A task for the node of a keeper that died: returns when no process of its runs is left."""
    node = NodeFolder(cluster)
    node.sweep(node.path / name)


def visible_gpus() -> str:
    """A task in a bundle: the GPUs that Ray has put there."""
    return ",".join(ray.get_runtime_context().get_accelerator_ids().get("GPU", ()))
