"""One run on the cluster as the master sees it, on one node or on several: a start, one count of lines, and an end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from determined.launchers.local import KILLED
from determined.launchers.on_ray.bridge import Bridge
from determined.launchers.on_ray.keepers import Keeper, Keepers
from determined.launchers.on_ray.numbering import Numbering
from determined.launchers.on_ray.part import Part
from determined.launchers.on_ray.parts import Ends
from determined.launchers.on_ray.reservations import Reservations
from determined.launchers.on_ray.wire import Order, Reservation
from determined.launchers.protocol import LauncherListener, LogLine, RunExit
from determined.launchers.telling import tell

Orders = Callable[[Reservation, int], Order]
"""The order for the keeper of one seat of a reservation."""


class RayRun:
    """Follows one run until its end has been reported.

    Attributes:
        is_over: its end is known; perhaps the listener is being told.
        kill_wanted: it was told to die.
        reservation: what it holds on the cluster; None as long as it waits for a place.
    """

    def __init__(
        self,
        allocation_id: str,
        bridge: Bridge,
        reservations: Reservations,
        keepers: Keepers,
        listener: LauncherListener,
        counts: Path,
        lines_known: int = 0,
    ) -> None:
        """Nothing is asked yet.

        Args:
            counts: file for the count of lines of a run on several nodes.
            lines_known: how many lines of it the listener has.
        """
        self.allocation_id = allocation_id
        self.is_over = False
        self.kill_wanted = False
        self.reservation: Reservation | None = None
        self._bridge = bridge
        self._reservations = reservations
        self._keepers = keepers
        self._listener = listener
        self._counts = counts
        self._lines_known = lines_known
        self._numbering: Numbering | None = None
        self._handing_over = asyncio.Lock()
        self._parts: list[Part] = []
        self._running = 0
        self._waiting: asyncio.Future[Reservation] | None = None
        self._dismissed = asyncio.Event()

    def kill(self) -> None:
        """Have it killed on all its nodes, as soon as the cluster can be reached; at once if it waits for a place."""
        self.kill_wanted = True
        if self._waiting is not None:
            self._waiting.cancel()
        for part in self._parts:
            part.kill()

    def close(self) -> None:
        """Stop to kill; the run goes on."""
        for part in self._parts:
            part.close()

    async def live(self, waiting: asyncio.Future[Reservation], order_for: Orders) -> None:
        """Wait for a place, start there, and report everything until the run has ended.

        Args:
            waiting: its place in the queue for a reservation.
            order_for: the orders for its keepers.
        """
        self._waiting = waiting
        if self.kill_wanted:
            waiting.cancel()
        await asyncio.wait({waiting})
        self._waiting = None
        if waiting.cancelled() or self.kill_wanted:
            self._reservations.leave(waiting)
            await self.end_without_start(RunExit(KILLED, time.time(), "killed before it had a process."))
            return
        reservation = waiting.result()
        keepers = {number: self._keepers.enter(seat.node_id) for number, seat in enumerate(reservation.seats)}
        await self._follow(keepers, reservation, order_for)

    async def go_on(self, keepers: Mapping[int, Keeper], reservation: Reservation) -> None:
        """Report everything of a run that an earlier master has started, until it has ended.

        Args:
            keepers: of its seats; one that is missing is dead, or never got its order.
        """
        await self._follow(keepers, reservation, None)

    async def end_without_start(self, end: RunExit) -> None:
        """Report the end of a run of which no keeper has heard."""
        await self._report(end)
        self._dismissed.set()

    async def dismissed(self) -> None:
        """Wait until nothing of an ended run is left on the cluster."""
        await self._dismissed.wait()

    async def _follow(self, keepers: Mapping[int, Keeper], reservation: Reservation, order_for: Orders | None) -> None:
        self.reservation = reservation
        size = len(reservation.seats)
        await self._make_parts(keepers, size)
        ends = Ends(size)
        for number in set(range(size)) - set(keepers):
            ends.add(number, RunExit(None, time.time(), "nothing is left of it on one of its nodes"))
        if self.kill_wanted or len(keepers) < size:
            self._kill_parts()
        orders = {number: None if order_for is None else order_for(reservation, number) for number in keepers}
        await asyncio.gather(*(self._follow_part(part, ends, orders[part.number]) for part in self._parts))
        if ends.has_lost or order_for is None:
            # Of a run that ended while there was no master, the reservation may have been given back already.
            self._reservations.drop(reservation)
        else:
            self._reservations.give_back(reservation)
        await self._report(ends.whole(self.kill_wanted))
        await asyncio.gather(*(part.finish() for part in self._parts))
        if self._numbering is not None:
            await asyncio.to_thread(self._numbering.forget)
        self._dismissed.set()

    async def _make_parts(self, keepers: Mapping[int, Keeper], size: int) -> None:
        first: tuple[int, ...] = (self._lines_known,)
        if size > 1:
            self._numbering = await asyncio.to_thread(Numbering, self._counts, size, self._lines_known)
            first = self._numbering.counts
        self._parts = [
            Part(self.allocation_id, number, keeper, self._bridge, self._keepers, self, first[number])
            for number, keeper in keepers.items()
        ]

    async def _follow_part(self, part: Part, ends: Ends, order: Order | None) -> None:
        if ends.add(part.number, await part.follow(order)):
            self._kill_parts()

    def _kill_parts(self) -> None:
        for part in self._parts:
            part.kill()

    # What its parts say

    async def on_part_running(self) -> None:
        """The run has its process when all parts have theirs."""
        self._running += 1
        if self._running == len(self._parts):
            await self._tell(lambda: self._listener.on_running(self.allocation_id))

    async def on_part_lines(self, number: int, first: int, lines: Sequence[LogLine]) -> None:
        """Lines of a part get the next numbers of the run."""
        numbering = self._numbering
        if numbering is None:
            await self._tell(lambda: self._listener.on_logs(self.allocation_id, first, lines))
            return

        async def hand_over() -> None:
            begin = await asyncio.to_thread(numbering.next, number, len(lines))
            await self._listener.on_logs(self.allocation_id, begin, lines)

        async with self._handing_over:
            await self._tell(hand_over)
            numbering.took(number, len(lines))

    async def _report(self, end: RunExit) -> None:
        self.is_over = True
        await self._tell(lambda: self._listener.on_exit(self.allocation_id, end))

    async def _tell(self, call: Callable[[], Awaitable[None]]) -> None:
        await tell(self.allocation_id, call)
