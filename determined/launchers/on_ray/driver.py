"""The process beside the master that talks to Ray: ``python -m determined.launchers.on_ray.driver``.

Ray ends a process that has lost its cluster, and blocks in places. So it is kept out of the master: this process has no
state, the master starts another one when it ends, and the actors do not notice. It ends with the master's socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, cast

import msgspec
import ray
from ray import exceptions
from ray.util.placement_group import (
    PlacementGroup,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from determined.launchers.on_ray import keeper
from determined.launchers.on_ray.node_news import follow_nodes
from determined.launchers.on_ray.wire import (
    HEADER_BYTES,
    Bundle,
    Kept,
    KeptRun,
    Node,
    Order,
    Place,
    Reply,
    Request,
    Reservation,
    Seat,
    frame,
)


class _Absent(Exception):
    """There is no actor of that name."""


_LOST = (exceptions.ActorDiedError, exceptions.ActorUnschedulableError, _Absent)
_CLOSED = (asyncio.IncompleteReadError, ConnectionError)
_WAIT_S = 3600
"""How long one question to the head lasts whether a placement group is there; then it is asked again."""
_MAX_WAITS = 4096
"""Reservations that can be waited for; each needs a thread, for Ray has no other way."""
LEAVE_S = 60.0
"""For giving back what no run has when the master is gone; nodes that do not answer are waited for so long."""
_RETRY_S = 0.5
"""After which a node that could not be reached is asked again."""
_Hello = tuple[str, tuple[KeptRun, ...]]
_ON_RAY = "determined-search"
"""Begins the names of placement groups."""


class Driver:
    """Methods that the master may ask for; each takes and gives bytes."""

    def __init__(self, namespace: str) -> None:
        self._prefix = f"{_ON_RAY}/{namespace}/"
        # By which keepers know our orders from those of a driver that was replaced, and may still be on their way.
        self._session = uuid.uuid4().hex
        self._actors: dict[str, asyncio.Future[Any]] = {}
        self._nodes_changed = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        # Reservations that this driver has had to do with.
        self._seen: set[str] = set()
        # Ray's own calls block; one thread, so that they keep their order.
        self._ray_thread = ThreadPoolExecutor(1, "ray")
        self._waits = ThreadPoolExecutor(_MAX_WAITS, "reservation")
        self._keeper = ray.remote(num_cpus=0, max_restarts=0, max_task_retries=0)(keeper.Keeper)
        self._sweep = ray.remote(num_cpus=0, max_retries=0)(keeper.sweep_keeper)
        self._visible_gpus = ray.remote(num_cpus=0, max_retries=3)(keeper.visible_gpus)

    # Reservations

    async def reserve(self, name: str, place: Place) -> Reservation:
        """Have Ray set resources aside, unless it has done so under this name; Ray may take its time."""
        self._seen.add(name)
        group = await self._do(lambda: self._group(name) or _make_group(self._prefix + name, place))
        loop = asyncio.get_running_loop()
        while not await loop.run_in_executor(self._waits, group.wait, _WAIT_S):
            if await self._do(lambda: self._group(name)) is None:
                raise _Absent(f"the reservation {name} was given back")
        nodes = (await self._do(lambda: placement_group_table(group)))["bundles_to_node_id"]
        gpus = await asyncio.gather(*(self._gpus(group, n, bundle) for n, bundle in enumerate(place.bundles)))
        return Reservation(name, place, tuple(Seat(nodes[number], ids) for number, ids in enumerate(gpus)))

    async def _gpus(self, group: PlacementGroup, number: int, bundle: Bundle) -> str:
        """Only what runs in a bundle is told which GPUs are in it; it has the same ones for as long as it exists."""
        if not bundle.gpus:
            return ""
        where = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=number)
        return cast(str, await self._visible_gpus.options(num_gpus=bundle.gpus, scheduling_strategy=where).remote())

    async def unreserve(self, name: str) -> None:
        """Give resources back, or stop waiting for them."""

        def remove() -> None:
            if (group := self._group(name)) is not None:
                remove_placement_group(group)

        await self._do(remove)
        self._seen.discard(name)

    async def reservations(self) -> list[str]:
        """Names of all reservations of this master."""
        table = await self._do(placement_group_table)
        return [
            group["name"].removeprefix(self._prefix)
            for group in table.values()
            if group["name"].startswith(self._prefix) and group["state"] != "REMOVED"
        ]

    def _group(self, name: str) -> PlacementGroup | None:
        try:
            return get_placement_group(self._prefix + name)
        except ValueError:
            return None

    # Keepers

    async def open(self, name: str, node_id: str, cluster: str, idle_s: float) -> None:
        """Make a keeper, unless there is one of that name."""
        maker = self._keeper.options(
            name=name,
            lifetime="detached",
            get_if_exists=True,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
        )
        actor = await self._do(lambda: maker.remote(cluster, name, idle_s))
        await actor.hello.remote(self._session)

    async def kept(self) -> list[Kept]:
        """All keepers that are alive, with their runs."""
        found = await asyncio.gather(*(self._kept(name) for name in await self._do(ray.util.list_named_actors)))
        return [kept for kept in found if kept is not None]

    async def _kept(self, name: str) -> Kept | None:
        with contextlib.suppress(*_LOST):
            said = await (await self._actor(name)).hello.remote(self._session)
            node_id, runs = msgspec.msgpack.decode(said, type=_Hello)
            self._seen.update(run.reservation.name for run in runs)
            return Kept(name, node_id, runs)
        return None

    async def leave(self) -> None:
        """The master is gone: give back what no run has. Runs go on, and keep what they have for the next master."""
        names = await self._do(ray.util.list_named_actors)
        used = await asyncio.gather(*(self._used_by(name) for name in names))
        for name in self._seen.difference(*used):
            await self.unreserve(name)

    async def _used_by(self, name: str) -> set[str]:
        """Reservations of a keeper's runs; a keeper that dies or has been dismissed meanwhile has none."""
        while True:
            try:
                actor = await self._do(lambda: ray.get_actor(name))
                said = await actor.hello.remote(None)
                break
            except (*_LOST, ValueError):
                return set()
            except exceptions.ActorUnavailableError:
                await asyncio.sleep(_RETRY_S)
        return {run.reservation.name for run in msgspec.msgpack.decode(said, type=_Hello)[1] if not run.is_over}

    async def begin(self, name: str, order: Order) -> msgspec.Raw:
        """Have a keeper start a run, unless it has, and wait for the first news of it."""
        self._seen.add(order.reservation.name)
        return msgspec.Raw(await (await self._actor(name)).begin.remote(self._session, msgspec.msgpack.encode(order)))

    async def news(self, name: str, allocation_id: str, first: int, told_running: bool) -> msgspec.Raw:
        """Wait for news of a run."""
        return msgspec.Raw(await (await self._actor(name)).news.remote(allocation_id, first, told_running))

    async def kill(self, name: str, allocation_id: str) -> bool:
        """Have a keeper kill a run, whose end comes as news; False when it does not know it."""
        return cast(bool, await (await self._actor(name)).kill.remote(allocation_id))

    async def finish(self, name: str, allocation_id: str) -> None:
        """Let a keeper delete what is left of a run."""
        with contextlib.suppress(*_LOST):
            await (await self._actor(name)).finish.remote(allocation_id)

    async def dismiss(self, name: str) -> None:
        """End a keeper that has no runs."""
        with contextlib.suppress(*_LOST):
            await (await self._actor(name)).leave.remote()
        await self.destroy(name)

    async def destroy(self, name: str) -> None:
        """End a keeper; its runs die with it."""
        with contextlib.suppress(*_LOST):
            actor = await self._do(lambda: ray.get_actor(name))
            await self._do(lambda: ray.kill(actor))
        self._actors.pop(name, None)

    async def sweep(self, node_id: str, cluster: str, name: str) -> None:
        """Make sure that nothing is left on its node of the runs of a dead keeper; nothing is left on a dead node."""
        where = NodeAffinitySchedulingStrategy(node_id, soft=False)
        with contextlib.suppress(exceptions.RayError):
            await self._sweep.options(scheduling_strategy=where).remote(cluster, name)

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

    async def other_nodes(self, known: list[str]) -> list[str]:
        """Wait until other machines are alive than those named, in order; which ones."""
        if self._following is None:
            self._following = asyncio.create_task(self._follow_nodes())
        while True:
            # Taken before looking: whatever changes from now on is told to it.
            changed = self._nodes_changed
            alive = sorted(node.id for node in await self.nodes())
            if alive != known:
                return alive
            await changed.wait()

    async def _follow_nodes(self) -> None:
        await follow_nodes(await self._do(lambda: ray.get_runtime_context().gcs_address), self._tell_of_nodes)

    def _tell_of_nodes(self) -> None:
        # A new one, so that each who waits hears of it, however many there are.
        changed, self._nodes_changed = self._nodes_changed, asyncio.Event()
        changed.set()

    async def _actor(self, name: str) -> Any:
        """A keeper that knows this session."""
        if name not in self._actors:
            self._actors[name] = asyncio.ensure_future(self._greet(name))
        try:
            return await asyncio.shield(self._actors[name])
        except BaseException:
            self._actors.pop(name, None)
            raise

    async def _greet(self, name: str) -> Any:
        try:
            actor = await self._do(lambda: ray.get_actor(name))
        except ValueError as error:
            raise _Absent(f"there is no Ray actor {name}") from error
        await actor.hello.remote(self._session)
        return actor

    async def _do(self, call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._ray_thread, call)


def _make_group(name: str, place: Place) -> PlacementGroup:
    """Which bundles, and how they may lie."""
    bundles = [
        # Ray refuses empty bundles, and every node has a byte.
        {kind: float(count) for kind, count in (("CPU", b.cpus), ("GPU", b.gpus)) if count} or {"memory": 1.0}
        for b in place.bundles
    ]
    return placement_group(bundles, strategy="STRICT_SPREAD", name=name, lifetime="detached")


_ARGUMENTS: dict[str, Any] = {
    "reserve": tuple[str, Place],
    "unreserve": tuple[str],
    "reservations": tuple[()],
    "open": tuple[str, str, str, float],
    "kept": tuple[()],
    "begin": tuple[str, Order],
    "news": tuple[str, str, int, bool],
    "kill": tuple[str, str],
    "finish": tuple[str, str],
    "dismiss": tuple[str],
    "destroy": tuple[str],
    "sweep": tuple[str, str, str],
    "nodes": tuple[()],
    "other_nodes": tuple[list[str]],
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


async def serve(channel: socket.socket, namespace: str) -> None:
    """Answer until the master is gone."""
    reader, writer = await asyncio.open_connection(sock=channel)
    driver = Driver(namespace)
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
    with contextlib.suppress(Exception):
        await asyncio.wait_for(driver.leave(), LEAVE_S)


async def _until_closed(channel: socket.socket, namespace: str) -> NoReturn:
    await serve(channel, namespace)
    # At once: threads wait for reservations, and some do for ever.
    os._exit(0)


def main(address: str, namespace: str, descriptor: int) -> None:
    """Connect to the cluster and serve one master."""
    with socket.socket(fileno=descriptor) as channel:
        try:
            ray.init(address=address, namespace=namespace, log_to_driver=False)
        except Exception as error:
            channel.sendall(frame(Reply(0, problem="failed", text=f"{type(error).__name__}: {_sentence(error)}")))
            return
        channel.setblocking(False)
        asyncio.run(_until_closed(channel, namespace))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
