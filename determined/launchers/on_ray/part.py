"""What a run has on one node, as the master sees it: from its keeper's news to the run's calls, in order, each once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from determined.errors import Unavailable
from determined.launchers.on_ray.bridge import RETRY_S, Bridge, Lost
from determined.launchers.on_ray.keepers import Keeper, Keepers
from determined.launchers.on_ray.wire import News, Order
from determined.launchers.protocol import LogLine, RunExit

KILL_PATIENCE_S = 20.0
"""After which a keeper that does not answer when it is to kill a run is killed itself, and all of its runs with it."""
_log = logging.getLogger(__name__)


class Whole(Protocol):
    """The run that a part belongs to; each call returns once the news is durable."""

    async def on_part_running(self) -> None:
        """A part has its process."""

    async def on_part_lines(self, number: int, first: int, lines: Sequence[LogLine]) -> None:
        """Lines ``first, first + 1, ...`` of a part."""


class Part:
    """Follows one part of a run until it has ended.

    Attributes:
        number: of the part in its run.
        is_over: its end is known.
    """

    def __init__(
        self,
        allocation_id: str,
        number: int,
        keeper: Keeper,
        bridge: Bridge,
        keepers: Keepers,
        whole: Whole,
        first: int,
    ) -> None:
        """Nothing is asked yet.

        Args:
            allocation_id: of the run.
            keeper: on whose node it is.
            first: the first line that is not known yet.
        """
        self.number = number
        self.is_over = False
        self._allocation_id = allocation_id
        self._keeper = keeper
        self._bridge = bridge
        self._keepers = keepers
        self._whole = whole
        self._next = first
        self._told_running = False
        self._killing: asyncio.Task[None] | None = None

    async def follow(self, order: Order | None) -> RunExit:
        """Start it, and report everything until it has ended; without an order it was started before."""
        try:
            end = await self._until_over(self._news if order is None else lambda: self._begin(order))
        except Lost as error:
            self._keepers.lose(self._keeper)
            await self._keepers.swept(self._keeper)
            end = RunExit(None, time.time(), f"its Ray actor or node was lost: {error}")
        self.is_over = True
        self.close()
        return end

    def kill(self) -> None:
        """Have it killed, as soon as the cluster can be reached."""
        if not self.is_over and (self._killing is None or self._killing.done()):
            self._killing = asyncio.create_task(self._kill())

    def close(self) -> None:
        """Stop to kill; it goes on."""
        if self._killing is not None:
            self._killing.cancel()

    async def finish(self) -> None:
        """Have its keeper forget it, once its end is durable."""
        await self._bridge.insist(type(None), "finish", self._keeper.name, self._allocation_id)
        self._keepers.leave(self._keeper)

    async def _until_over(self, ask: Callable[[], Awaitable[News | None]]) -> RunExit:
        while True:
            try:
                news = await ask()
                if news is None:
                    raise Lost(f"keeper {self._keeper.name} does not know the run")
                ask = self._news
                if (end := await self._pass_on(news)) is not None:
                    return end
            except Unavailable as error:
                _log.warning("run %s: %s; asking again", self._allocation_id, error)
                await asyncio.sleep(RETRY_S)

    async def _begin(self, order: Order) -> News | None:
        await self._keepers.ready(self._keeper)
        return await self._bridge.ask(News, "begin", self._keeper.name, order)

    async def _news(self) -> News | None:
        arguments = (self._keeper.name, self._allocation_id, self._next, self._told_running)
        return await self._bridge.ask(News | None, "news", *arguments)  # type: ignore[arg-type]

    async def _pass_on(self, news: News) -> RunExit | None:
        if news.running and not self._told_running:
            self._told_running = True
            await self._whole.on_part_running()
        if lines := news.lines[self._next - news.first :]:
            await self._whole.on_part_lines(self.number, self._next, lines)
            self._next += len(lines)
        return news.end

    async def _kill(self) -> None:
        """By its keeper, which sees to it that it works; one that does not answer is killed, and its runs with it."""
        while not self.is_over:
            try:
                name = self._keeper.name
                asking = asyncio.ensure_future(self._bridge.ask(bool, "kill", name, self._allocation_id))
                await asyncio.wait({asking}, timeout=KILL_PATIENCE_S)
                if not asking.done():
                    asking.cancel()
                    _log.warning("keeper %s does not answer, so it is ended with all of its runs", name)
                    await self._bridge.do("destroy", name)
                elif asking.result():
                    return
            except Lost:
                return
            except Unavailable:
                pass
            # It may not have heard of the run yet.
            await asyncio.sleep(RETRY_S)
