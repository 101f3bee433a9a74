"""The process beside the master that talks to Ray: ``python -m determined.launchers.on_ray.driver``.

Ray ends a process that has lost its cluster, and blocks in places. So it is kept out of the master: this process has no
state, the master starts another one when it ends, and the actors do not notice. It ends with the master's socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import msgspec
import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from determined.launchers.on_ray import keeper
from determined.launchers.on_ray.wire import HEADER_BYTES, Node, Order, Place, Reply, Request, frame


class _Absent(Exception):
    """There is no actor of that name."""


_LOST = (exceptions.ActorDiedError, exceptions.ActorUnschedulableError, _Absent)
_CLOSED = (asyncio.IncompleteReadError, ConnectionError)


class Driver:
    """Methods that the master may ask for; each takes and gives bytes."""

    def __init__(self) -> None:
        self._actors: dict[str, Any] = {}
        # Ray's own calls block; one thread, so that they keep their order.
        self._ray_thread = ThreadPoolExecutor(1, "ray")
        self._keeper = ray.remote(max_restarts=0, max_task_retries=0)(keeper.Keeper)
        self._sweep = ray.remote(num_cpus=0, max_retries=0)(keeper.sweep_run)

    async def create(self, order: Order, place: Place) -> None:
        """Have Ray make the keeper of a run, unless there is one; Ray may take its time."""
        name = order.allocation_id
        maker = self._keeper.options(
            name=name,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=place.cpus,
            num_gpus=place.gpus,
        )
        self._actors[name] = await self._do(lambda: maker.remote(msgspec.msgpack.encode(order)))

    async def find(self, name: str) -> bool:
        """Whether there is a keeper of that name, or will be."""
        with contextlib.suppress(_Absent):
            await self._actor(name)
            return True
        return False

    async def names(self) -> list[str]:
        """Names of all keepers of this master."""
        return cast(list[str], await self._do(ray.util.list_named_actors))

    async def news(self, name: str, first: int, told_running: bool) -> msgspec.Raw:
        """Wait for news of a run."""
        return msgspec.Raw(await (await self._actor(name)).news.remote(first, told_running))

    async def kill(self, name: str) -> None:
        """Have the keeper kill its run; the end comes as news."""
        await (await self._actor(name)).kill.remote()

    async def finish(self, name: str) -> None:
        """Let the keeper of an ended run tidy up and go."""
        with contextlib.suppress(*_LOST):
            await (await self._actor(name)).finish.remote()
        await self.destroy(name)

    async def destroy(self, name: str) -> None:
        """End an actor, whether Ray has placed it or not; its run dies with it."""
        with contextlib.suppress(_Absent):
            actor = await self._actor(name)
            await self._do(lambda: ray.kill(actor))
        self._actors.pop(name, None)

    async def sweep(self, node_id: str, folder: str) -> None:
        """Make sure that nothing is left on its node of a run whose keeper is dead; nothing is left on a dead node."""
        where = NodeAffinitySchedulingStrategy(node_id, soft=False)
        with contextlib.suppress(exceptions.RayError):
            await self._sweep.options(scheduling_strategy=where).remote(folder)

    async def nodes(self) -> list[Node]:
        """Live machines."""
        found = await self._do(ray.nodes)
        return [
            Node(
                id=node["NodeID"],
                address=node["NodeManagerAddress"],
                host=node["NodeManagerHostname"],
                cpus=node["Resources"].get("CPU", 0.0),
                gpus=node["Resources"].get("GPU", 0.0),
            )
            for node in found
            if node["Alive"]
        ]

    async def _actor(self, name: str) -> Any:
        if name not in self._actors:
            try:
                self._actors[name] = await self._do(lambda: ray.get_actor(name))
            except ValueError as error:
                raise _Absent(f"there is no Ray actor {name}") from error
        return self._actors[name]

    async def _do(self, call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._ray_thread, call)


_ARGUMENTS: dict[str, Any] = {
    "create": tuple[Order, Place],
    "find": tuple[str],
    "names": tuple[()],
    "news": tuple[str, int, bool],
    "kill": tuple[str],
    "finish": tuple[str],
    "destroy": tuple[str],
    "sweep": tuple[str, str],
    "nodes": tuple[()],
}


async def _answer(driver: Driver, request: Request) -> Reply:
    try:
        arguments = msgspec.msgpack.decode(request.arguments, type=_ARGUMENTS[request.method])
        method: Callable[..., Awaitable[Any]] = getattr(driver, request.method)
        return Reply(request.number, msgspec.msgpack.encode(await method(*arguments)))
    except _LOST as error:
        return Reply(request.number, problem="lost", text=_sentence(error))
    except Exception as error:
        return Reply(request.number, problem="failed", text=f"{type(error).__name__}: {_sentence(error)}")


def _sentence(error: BaseException) -> str:
    """Ray's errors are pages; people need the lines that say something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)[:600]


async def serve(channel: socket.socket) -> None:
    """Answer until the master is gone."""
    reader, writer = await asyncio.open_connection(sock=channel)
    driver = Driver()
    tasks: set[asyncio.Task[None]] = set()

    async def answer(request: Request) -> None:
        writer.write(frame(await _answer(driver, request)))
        await writer.drain()

    writer.write(frame(Reply(0)))
    with contextlib.suppress(*_CLOSED):
        while True:
            size = int.from_bytes(await reader.readexactly(HEADER_BYTES), "big")
            request = msgspec.msgpack.decode(await reader.readexactly(size), type=Request)
            task = asyncio.create_task(answer(request))
            tasks.add(task)
            task.add_done_callback(tasks.discard)


def main(address: str, namespace: str, descriptor: int) -> None:
    """Connect to the cluster and serve one master."""
    with socket.socket(fileno=descriptor) as channel:
        try:
            ray.init(address=address, namespace=namespace, log_to_driver=False)
        except Exception as error:
            channel.sendall(frame(Reply(0, problem="failed", text=f"{type(error).__name__}: {_sentence(error)}")))
            return
        channel.setblocking(False)
        asyncio.run(serve(channel))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
