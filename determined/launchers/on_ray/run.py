"""One run on the cluster as the master sees it: from its keeper's news to the listener's calls, in order, each once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from determined.errors import Unavailable
from determined.launchers.local import KILLED
from determined.launchers.on_ray.bridge import RETRY_S, Bridge, Lost
from determined.launchers.on_ray.keepers import Keeper, Keepers
from determined.launchers.on_ray.reservations import Reservations
from determined.launchers.on_ray.wire import News, Order, Reservation
from determined.launchers.protocol import LauncherListener, RunExit
from determined.launchers.telling import tell

KILL_PATIENCE_S = 20.0
"""After which a keeper that does not answer when it is to kill a run is killed itself, and all of its runs with it."""
_log = logging.getLogger(__name__)


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
        lines_known: int = 0,
    ) -> None:
        self.allocation_id = allocation_id
        self.is_over = False
        self.kill_wanted = False
        self.reservation: Reservation | None = None
        self._bridge = bridge
        self._reservations = reservations
        self._keepers = keepers
        self._listener = listener
        self._keeper: Keeper | None = None
        self._next = lines_known
        self._told_running = False
        self._waiting: asyncio.Future[Reservation] | None = None
        self._dismissed = asyncio.Event()
        self._killing: asyncio.Task[None] | None = None

    def kill(self) -> None:
        """Have it killed, as soon as the cluster can be reached; at once if it waits for a place."""
        self.kill_wanted = True
        if self._waiting is not None:
            self._waiting.cancel()
        if self._keeper is not None and (self._killing is None or self._killing.done()):
            self._killing = asyncio.create_task(self._kill(self._keeper))

    def close(self) -> None:
        """Stop to kill; the run goes on."""
        if self._killing is not None:
            self._killing.cancel()

    async def live(self, waiting: asyncio.Future[Reservation], order_for: Callable[[Reservation], Order]) -> None:
        """Wait for a place, start there, and report everything until the run has ended.

        Args:
            waiting: its place in the queue for a reservation.
            order_for: the order for its keeper.
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
        self.reservation = waiting.result()
        keeper = self._keepers.enter(self.reservation.seats[0].node_id)
        order = order_for(self.reservation)
        await self._follow(keeper, lambda: self._begin(keeper, order))

    async def go_on(self, keeper: Keeper, reservation: Reservation) -> None:
        """Report everything of a run that an earlier master has started, until it has ended."""
        self.reservation = reservation
        await self._follow(keeper, lambda: self._news(keeper))

    async def end_without_start(self, end: RunExit) -> None:
        """Report the end of a run of which no keeper has heard."""
        await self._report(end)
        self._dismissed.set()

    async def dismissed(self) -> None:
        """Wait until nothing of an ended run is left on the cluster."""
        await self._dismissed.wait()

    async def _follow(self, keeper: Keeper, ask: Callable[[], Awaitable[News | None]]) -> None:
        assert self.reservation is not None
        self._keeper = keeper
        if self.kill_wanted:
            self.kill()
        try:
            end = await self._until_over(keeper, ask)
        except Lost as error:
            end = await self._conclude(keeper, str(error))
            self._reservations.drop(self.reservation)
        else:
            self._reservations.give_back(self.reservation)
        await self._report(end)
        self.close()
        await self._finish(keeper)
        self._keepers.leave(keeper)
        self._dismissed.set()

    async def _until_over(self, keeper: Keeper, ask: Callable[[], Awaitable[News | None]]) -> RunExit:
        while True:
            try:
                news = await ask()
                if news is None:
                    raise Lost(f"keeper {keeper.name} does not know the run")
                ask = lambda: self._news(keeper)  # noqa: E731
                if (end := await self._pass_on(news)) is not None:
                    return end
            except Unavailable as error:
                _log.warning("run %s: %s; asking again", self.allocation_id, error)
                await asyncio.sleep(RETRY_S)

    async def _begin(self, keeper: Keeper, order: Order) -> News | None:
        await self._keepers.ready(keeper)
        return await self._bridge.ask(News, "begin", keeper.name, order)

    async def _news(self, keeper: Keeper) -> News | None:
        arguments = (keeper.name, self.allocation_id, self._next, self._told_running)
        return await self._bridge.ask(News | None, "news", *arguments)  # type: ignore[arg-type]

    async def _pass_on(self, news: News) -> RunExit | None:
        if news.running and not self._told_running:
            self._told_running = True
            await self._tell(lambda: self._listener.on_running(self.allocation_id))
        if lines := news.lines[self._next - news.first :]:
            await self._tell(lambda: self._listener.on_logs(self.allocation_id, self._next, lines))
            self._next += len(lines)
        return news.end

    async def _conclude(self, keeper: Keeper, reason: str) -> RunExit:
        """The end of a run whose keeper is dead, once nothing of it is left."""
        self._keepers.lose(keeper)
        await self._keepers.swept(keeper)
        if self.kill_wanted:
            return RunExit(KILLED, time.time(), "killed together with its Ray actor.")
        return RunExit(None, time.time(), f"its Ray actor or node was lost: {reason}")

    async def _kill(self, keeper: Keeper) -> None:
        """By its keeper, which sees to it that it works; one that does not answer is killed, and its runs with it."""
        while not self.is_over:
            try:
                asking = asyncio.ensure_future(self._bridge.ask(bool, "kill", keeper.name, self.allocation_id))
                await asyncio.wait({asking}, timeout=KILL_PATIENCE_S)
                if not asking.done():
                    asking.cancel()
                    _log.warning("keeper %s does not answer, so it is ended with all of its runs", keeper.name)
                    await self._bridge.do("destroy", keeper.name)
                elif asking.result():
                    return
            except Lost:
                return
            except Unavailable:
                pass
            # It may not have heard of the run yet.
            await asyncio.sleep(RETRY_S)

    async def _report(self, end: RunExit) -> None:
        self.is_over = True
        await self._tell(lambda: self._listener.on_exit(self.allocation_id, end))

    async def _finish(self, keeper: Keeper) -> None:
        await self._bridge.insist(type(None), "finish", keeper.name, self.allocation_id)

    async def _tell(self, call: Callable[[], Awaitable[None]]) -> None:
        await tell(self.allocation_id, call)
