"""Runs on a Ray cluster. Ray decides where and when; runs that wait for a place are its demand for more machines."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import logging
import sys
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from determined.errors import FailedPrecondition, InvalidInput, Unavailable
from determined.launchers.on_ray.bridge import RETRY_S, Bridge
from determined.launchers.on_ray.keepers import Keeper, Keepers
from determined.launchers.on_ray.numbering import counts_file, forget_others
from determined.launchers.on_ray.parts import told
from determined.launchers.on_ray.placing import members_of, place_for, shares_of
from determined.launchers.on_ray.reservations import Reservations
from determined.launchers.on_ray.run import Orders, RayRun
from determined.launchers.on_ray.wire import (
    CERTIFICATE_VARIABLE,
    ContextPlace,
    Kept,
    Node,
    Order,
    Place,
    Reservation,
)
from determined.launchers.protocol import LauncherListener, Machine, Member, RunExit, RunSpec, Slot, SlotKind

DEFAULT_SLOTS = 128
"""Slots that runs may hold or wait for in Ray at once, where nobody says how many."""
DEFAULT_IDLE_S = 60.0
CROWDED_AFTER_S = 3.0
"""A run that has no place after so long waits for others; sooner, Ray may just be slow to say that it has one."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RayOptions:
    """Which cluster, and how it is used.

    Attributes:
        address: of the head, ``host:port``, or ``auto``. This machine must be one of the cluster's.
        kind: what a slot is: a CPU or a GPU.
        slots: how many slots runs may hold or wait for at once. What is above the cluster's own size is demand, by
            which clusters that can grow do so.
        idle_s: a node that has had no run for so long is left: its keeper and templates are ended.
    """

    address: str
    kind: SlotKind = SlotKind.CPU
    slots: int = DEFAULT_SLOTS
    idle_s: float = DEFAULT_IDLE_S


def model_definition(spec: RunSpec) -> tuple[str, Mapping[str, str]]:
    """Where a node gets the model definition of a run: from the master, with the run's own token."""
    env = spec.env
    url = f"{env.get('DET_MASTER', '').rstrip('/')}/api/v1/experiments/{env.get('DET_EXPERIMENT_ID')}/model_def"
    return url, {"Grpc-Metadata-x-allocation-token": f"Bearer {env.get('DET_SESSION_TOKEN')}"}


class RayLauncher:
    """Runs allocations below detached actors, one on each node, which outlive the master.

    The cluster may come and go: what is asked meanwhile is done when it is back.
    """

    name = "ray"

    def __init__(
        self,
        options: RayOptions,
        cluster_id: str,
        folder: Path,
        locate: Callable[[RunSpec], tuple[str, Mapping[str, str]]] = model_definition,
    ) -> None:
        """Nothing is touched before `open`.

        Args:
            options: which cluster.
            cluster_id: of this master; masters with different ones may share a Ray cluster.
            folder: for what the driver prints.
            locate: url and headers by which nodes get the model definition of a run.

        Raises:
            InvalidInput: Ray is not installed, or the options cannot be.
        """
        if importlib.util.find_spec("ray") is None:
            raise InvalidInput("Ray is not installed; `pip install 'determined-search[ray]'` on every node.")
        if options.slots < 1:
            raise InvalidInput(f"the number of slots is {options.slots}; with Ray it must be 1 or more.")
        if not options.idle_s >= 0:
            raise InvalidInput(f"nodes are left after {options.idle_s} s; it must be 0 or more.")
        self._options = options
        self._cluster_id = cluster_id
        self._folder = folder
        self._locate = locate
        self._slots = tuple(Slot(n, options.kind, f"ray {n}") for n in range(options.slots))
        self._bridge = Bridge(options.address, f"determined-{cluster_id}", folder)
        self._reservations = Reservations(self._bridge)
        self._keepers = Keepers(self._bridge, cluster_id, options.idle_s)
        self._kept: dict[str, tuple[dict[int, Keeper], Reservation]] = {}
        self._recovery: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._tell_of_machines: Callable[[], None] = lambda: None
        self._runs: dict[str, RayRun] = {}
        self._unplaced: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # Runs come to Ray in the order in which the master gave them slots: by priority.
        self._turn = asyncio.Lock()
        self._digests: dict[Path, str] = {}
        self._listener: LauncherListener | None = None

    def slots(self) -> Sequence[Slot]:
        """As many as the options say; what the cluster has is told by `machines`."""
        return self._slots

    async def open(self, listener: LauncherListener) -> None:
        """Begin to report to ``listener``; does not wait for the cluster."""
        self._listener = listener
        self._bridge.open()
        self._recovery = asyncio.create_task(self._recover())
        self._watch = asyncio.create_task(self._watch_nodes())

    async def _recover(self) -> None:
        """Find what an earlier master has left on the cluster, before anything is added."""
        found = await self._bridge.insist(list[Kept], "kept")
        keepers = self._keepers.take_over(found)
        for kept in found:
            for run in kept.runs:
                seat = next(n for n, seat in enumerate(run.reservation.seats) if seat.node_id == kept.node_id)
                self._kept.setdefault(run.allocation_id, ({}, run.reservation))[0][seat] = keepers[kept.keeper]
        await self._reservations.settle({reservation.name for _, reservation in self._kept.values()})

    async def _recovered(self) -> None:
        assert self._recovery is not None, "the launcher is not open"
        await asyncio.shield(self._recovery)

    async def start(self, spec: RunSpec) -> None:
        """Start a run in the background, wherever Ray finds a place for it, and whenever."""
        if spec.allocation_id not in self._runs:
            run = self._add(spec.allocation_id, 0)
            self._keep(self._begin(run, spec))

    async def adopt(self, allocation_id: str, lines_known: int) -> bool:
        """Take up a run of an earlier master, as soon as the cluster can be reached."""
        if allocation_id in self._runs:
            return True
        await self._recovered()
        if allocation_id in self._kept:
            self._keep(self._add(allocation_id, lines_known).go_on(*self._kept.pop(allocation_id)))
        return allocation_id in self._runs

    async def kill(self, allocation_id: str) -> None:
        """Kill every process of a run, on whatever node."""
        run = self._runs.get(allocation_id)
        if run is not None and not run.is_over:
            run.kill()

    async def remove(self, allocation_id: str) -> None:
        """Forget an ended run, once nothing of it is left on its node.

        Raises:
            FailedPrecondition: the run is not over.
        """
        run = self._runs.get(allocation_id)
        if run is not None and not run.is_over:
            raise FailedPrecondition(f"run {allocation_id} is not over; kill it and wait for its end first.")
        if run is not None:
            await run.dismissed()
        self._runs.pop(allocation_id, None)

    async def close(self) -> None:
        """Stop reporting. Runs go on, and Ray goes on to look for places."""
        for run in self._runs.values():
            run.close()
        for task in self._tasks:
            task.cancel()
        for beginning in (self._recovery, self._watch):
            if beginning is not None:
                beginning.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._reservations.close()
        await self._keepers.close()
        await self._bridge.close()
        self._runs.clear()

    async def settle(self, live: Collection[str]) -> None:
        """End runs that the master has done with: it died between their end and their dismissal."""
        await self._recovered()
        for name in [name for name in self._kept if name not in live]:
            keepers, reservation = self._kept.pop(name)
            for keeper in keepers.values():
                await self._bridge.insist(type(None), "finish", keeper.name, name)
                self._keepers.leave(keeper)
            self._reservations.drop(reservation)
        await asyncio.to_thread(forget_others, self._folder, live)

    def is_crowded(self) -> bool:
        """Whether the run that was started first of those that have not begun has waited for a while."""
        while self._unplaced and self._is_placed(first := next(iter(self._unplaced))):
            del self._unplaced[first]
        return bool(self._unplaced) and time.monotonic() - next(iter(self._unplaced.values())) > CROWDED_AFTER_S

    def _is_placed(self, allocation_id: str) -> bool:
        run = self._runs.get(allocation_id)
        return run is None or run.is_over or run.reservation is not None

    async def members(self, allocation_id: str) -> Sequence[Member]:
        """The nodes that a run is on.

        Raises:
            Unavailable: nobody can tell now.
        """
        run = self._runs.get(allocation_id)
        if run is None or run.reservation is None:
            raise Unavailable(f"run {allocation_id} was not taken up yet; try again")
        is_alone = len(run.reservation.seats) == 1
        return members_of(run.reservation, [] if is_alone else await self._bridge.ask(list[Node], "nodes"))

    def when_machines_change(self, tell: Callable[[], None]) -> None:
        """Call back whenever other nodes are alive, or the cluster can be reached again or not any more."""
        self._tell_of_machines = tell

    async def _watch_nodes(self) -> None:
        known: list[str] = []
        while True:
            try:
                known = await self._bridge.ask(list[str], "other_nodes", known)
            except Unavailable:
                known = []
                await asyncio.sleep(RETRY_S)
            self._tell_of_machines()

    async def machines(self) -> Sequence[Machine]:
        """The nodes that are alive; none while the cluster cannot be reached."""
        if not self._bridge.is_connected:
            return ()
        try:
            nodes = await self._bridge.ask(list[Node], "nodes")
        except Unavailable:
            return ()
        return [self._machine(node) for node in sorted(nodes, key=lambda node: (node.address, node.id))]

    def _machine(self, node: Node) -> Machine:
        is_gpu = self._options.kind is SlotKind.CUDA
        count = int(node.gpus if is_gpu else node.cpus)
        noun = "gpu" if is_gpu else "cpu"
        slots = tuple(Slot(n, self._options.kind, f"{noun} {n}") for n in range(count))
        return Machine(node.id, (node.address,), slots, self._held(node.id, count))

    def _held(self, node_id: str, count: int) -> Mapping[int, str]:
        """Ray does not number CPUs, so those that runs hold are counted from the first."""
        held = [
            name
            for name, run in self._runs.items()
            if not run.is_over and run.reservation is not None
            for seat, share in zip(run.reservation.seats, shares_of(run.reservation.place), strict=True)
            if seat.node_id == node_id
            for _ in range(share)
        ]
        return dict(zip(range(count), held, strict=False))

    def _add(self, allocation_id: str, lines_known: int) -> RayRun:
        assert self._listener is not None, "the launcher is not open"
        counts = counts_file(self._folder, allocation_id)
        run = self._runs[allocation_id] = RayRun(
            allocation_id, self._bridge, self._reservations, self._keepers, self._listener, counts, lines_known
        )
        self._unplaced[allocation_id] = time.monotonic()
        return run

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_report_failure)

    async def _begin(self, run: RayRun, spec: RunSpec) -> None:
        """Have a run wait for its turn, start, and end."""
        async with self._turn:
            await self._recovered()
            waiting = self._reservations.ask(await self._place(len(spec.slot_ids)))
        try:
            order = await self._order(spec)
        except OSError as error:
            self._reservations.leave(waiting)
            reason = f"the model definition or the certificate cannot be read: {error}"
            await run.end_without_start(RunExit(None, time.time(), reason))
            return
        await run.live(waiting, order)

    async def _place(self, slots: int) -> Place:
        """Which bundles; whoever wants several slots may need several nodes for them."""
        nodes = await self._bridge.insist(list[Node], "nodes") if slots > 1 else []
        return place_for(slots, self._options.kind, nodes)

    async def _order(self, spec: RunSpec) -> Orders:
        """The orders for a run, but for its place."""
        context = None
        if spec.context is not None:
            url, headers = self._locate(spec)
            server_name = spec.env.get("DET_MASTER_CERT_NAME")
            context = ContextPlace(url, headers, await self._digest(spec.context), spec.context.name, server_name)
        certificate = spec.env.get(CERTIFICATE_VARIABLE)
        text = None if certificate is None else await asyncio.to_thread(Path(certificate).read_text)

        def order(reservation: Reservation, seat: int) -> Order:
            env, info_files = told(spec.env, spec.info_files, seat, shares_of(reservation.place))
            return Order(
                allocation_id=spec.allocation_id,
                argv=spec.argv,
                env=env,
                info_files=info_files,
                python=sys.executable,
                reservation=reservation,
                context=context,
                certificate=text,
                warm=spec.warm,
                seat=seat,
            )

        return order

    async def _digest(self, path: Path) -> str:
        """Archives never change, so each is read once."""
        if path not in self._digests:
            data = await asyncio.to_thread(path.read_bytes)
            self._digests[path] = hashlib.sha256(data).hexdigest()
        return self._digests[path]


def _report_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("following a run failed", exc_info=error)
