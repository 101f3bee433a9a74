"""Resources that Ray has set aside for runs, handed from one run to the next as long as there is a next.

Ray looks only now and then, about once a second, whether something that waits has become possible. So a reservation
is not given back while another run waits for an equal one: that run gets it at once, and what was asked of Ray for it
remains as demand for those behind it.
"""

from __future__ import annotations

import asyncio
import uuid

from determined.launchers.on_ray.bridge import Bridge, Lost
from determined.launchers.on_ray.wire import Place, Reservation

LINGER_S = 1.0
"""How long what no run wants is kept for one that may come: a search method answers within that."""


class Reservations:
    """A queue for each kind of place. Call it from one event loop."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._queues: dict[Place, _Queue] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, place: Place) -> asyncio.Future[Reservation]:
        """A place in the queue; cancel it to leave the queue. The order of calls is that of the queue."""
        queue = self._queue(place)
        future: asyncio.Future[Reservation] = asyncio.get_running_loop().create_future()
        if queue.idle:
            _, (reservation, timer) = queue.idle.popitem()
            timer.cancel()
            future.set_result(reservation)
        else:
            queue.waiting[future] = None
            future.add_done_callback(lambda _: self._tidy(queue, future))
            self._ask_ray(queue)
        return future

    def leave(self, future: asyncio.Future[Reservation]) -> None:
        """Leave the queue, whether one's turn has come or not."""
        if not future.cancel() and not future.cancelled():
            self.give_back(future.result())

    def give_back(self, reservation: Reservation) -> None:
        """Its run is over, without a trace."""
        self._hand_out(self._queue(reservation.place), reservation)

    def drop(self, reservation: Reservation) -> None:
        """Its run was lost, and perhaps its node, or it may be gone itself: nobody else should have it."""
        self._unreserve(reservation.name)

    async def settle(self, used: set[str]) -> None:
        """Give back what an earlier master has asked for and nobody uses."""
        for name in await self._bridge.insist(list[str], "reservations"):
            if name not in used and not any(name in queue for queue in self._queues.values()):
                self._unreserve(name)

    def close(self) -> None:
        """Ask for nothing any more. The driver gives back what no run has, as it does when the master is killed."""
        for queue in self._queues.values():
            for task in queue.asked.values():
                task.cancel()
            for _, timer in queue.idle.values():
                timer.cancel()
            if queue.tidying is not None:
                queue.tidying.cancel()
        for task in self._tasks:
            task.cancel()

    def _queue(self, place: Place) -> _Queue:
        return self._queues.setdefault(place, _Queue(place))

    def _hand_out(self, queue: _Queue, reservation: Reservation) -> None:
        while queue.waiting:
            future = next(iter(queue.waiting))
            del queue.waiting[future]
            if not future.done():
                future.set_result(reservation)
                return
        timer = asyncio.get_running_loop().call_later(LINGER_S, self._forget, queue, reservation.name)
        queue.idle[reservation.name] = (reservation, timer)

    def _ask_ray(self, queue: _Queue) -> None:
        while len(queue.asked) < len(queue.waiting):
            name = uuid.uuid4().hex
            queue.asked[name] = asyncio.create_task(self._reserve(queue, name))

    async def _reserve(self, queue: _Queue, name: str) -> None:
        try:
            reservation = await self._bridge.insist(Reservation, "reserve", name, queue.place)
        except Lost:
            # Somebody has taken it from us.
            del queue.asked[name]
            self._ask_ray(queue)
            return
        del queue.asked[name]
        self._hand_out(queue, reservation)

    def _tidy(self, queue: _Queue, future: asyncio.Future[Reservation]) -> None:
        """Somebody has left the queue; look in a while whether more is asked of Ray than is needed."""
        queue.waiting.pop(future, None)
        if queue.tidying is None and len(queue.asked) > len(queue.waiting):
            queue.tidying = asyncio.get_running_loop().call_later(LINGER_S, self._shrink, queue)

    def _shrink(self, queue: _Queue) -> None:
        queue.tidying = None
        # The newest have waited least.
        for name in list(queue.asked)[len(queue.waiting) :]:
            self._forget(queue, name)

    def _forget(self, queue: _Queue, name: str) -> None:
        if (kept := queue.idle.pop(name, None)) is not None:
            kept[1].cancel()
        if (asking := queue.asked.pop(name, None)) is not None:
            asking.cancel()
        self._unreserve(name)

    def _unreserve(self, name: str) -> None:
        task = asyncio.create_task(self._bridge.insist(type(None), "unreserve", name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Queue:
    """Of runs that want equal places.

    Attributes:
        waiting: runs, in order.
        asked: what Ray has not given us yet.
        idle: what no run has now, and when it is given back.
        tidying: a look that is due.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.waiting: dict[asyncio.Future[Reservation], None] = {}
        self.asked: dict[str, asyncio.Task[None]] = {}
        self.idle: dict[str, tuple[Reservation, asyncio.TimerHandle]] = {}
        self.tidying: asyncio.TimerHandle | None = None

    def __contains__(self, name: str) -> bool:
        return name in self.asked or name in self.idle
