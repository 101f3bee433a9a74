"""One run on the cluster as the master sees it: from its keeper's news to the listener's calls, in order, each once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from determined.errors import Unavailable
from determined.launchers.local import KILLED
from determined.launchers.on_ray.bridge import Bridge, Lost
from determined.launchers.on_ray.wire import News
from determined.launchers.protocol import LauncherListener, RunExit
from determined.launchers.telling import tell

KILL_PATIENCE_S = 20.0
"""After which a keeper that was told to kill its run is killed itself, and the run with it."""
SWEEP_PATIENCE_S = 60.0
"""For looking on its node whether anything is left of a run whose keeper is dead."""
RETRY_S = 0.5
_log = logging.getLogger(__name__)


class RayRun:
    """Follows one run until its end has been reported.

    Attributes:
        is_over: its end is known; perhaps the listener is being told.
        kill_wanted: it was told to die.
        node_id: where it runs; None as long as nothing was heard of it, as while Ray looks for a place.
        slots: how many it holds there.
    """

    def __init__(self, allocation_id: str, bridge: Bridge, listener: LauncherListener, lines_known: int = 0) -> None:
        self.allocation_id = allocation_id
        self.is_over = False
        self.node_id: str | None = None
        self.slots = 0
        self.kill_wanted = False
        self._bridge = bridge
        self._listener = listener
        self._next = lines_known
        self._folder = ""
        self._told_running = False
        self._dismissed = asyncio.Event()
        self._killing: asyncio.Task[None] | None = None

    def kill(self) -> None:
        """Have it killed, as soon as the cluster can be reached."""
        self.kill_wanted = True
        if self._killing is None or self._killing.done():
            self._killing = asyncio.create_task(self._kill())

    def kill_again(self) -> None:
        """Kill a run that was told to die before its keeper could be."""
        if self.kill_wanted:
            self.kill()

    def close(self) -> None:
        """Stop to kill; the run goes on."""
        if self._killing is not None:
            self._killing.cancel()

    async def follow(self) -> None:
        """Report everything until the run has ended. Its keeper must have been asked for before."""
        end = None
        while end is None:
            try:
                news = await self._bridge.ask(News, "news", self.allocation_id, self._next, self._told_running)
                end = await self._pass_on(news)
            except Lost as error:
                end = await self._conclude(str(error))
            except Unavailable as error:
                _log.warning("run %s: %s; asking again", self.allocation_id, error)
                await asyncio.sleep(RETRY_S)
        await self._report(end)
        self.close()
        await self._finish()
        self._dismissed.set()

    async def end_without_start(self, end: RunExit) -> None:
        """Report the end of a run for which Ray was never asked."""
        await self._report(end)
        self._dismissed.set()

    async def dismissed(self) -> None:
        """Wait until nothing of an ended run is left on the cluster."""
        await self._dismissed.wait()

    async def _report(self, end: RunExit) -> None:
        self.is_over = True
        await self._tell(lambda: self._listener.on_exit(self.allocation_id, end))

    def is_on(self, node_id: str) -> bool:
        """Whether it holds slots of a node."""
        return self.node_id == node_id and not self.is_over

    async def _pass_on(self, news: News) -> RunExit | None:
        self.node_id, self.slots, self._folder = news.node_id, news.slots, news.folder
        if news.running and not self._told_running:
            self._told_running = True
            await self._tell(lambda: self._listener.on_running(self.allocation_id))
        if news.lines:
            await self._tell(lambda: self._listener.on_logs(self.allocation_id, news.first, news.lines))
            self._next = news.first + len(news.lines)
        return news.end

    async def _conclude(self, reason: str) -> RunExit:
        """The end of a run whose keeper is dead, once nothing of it is left."""
        if self.node_id is not None:
            sweep = asyncio.ensure_future(self._bridge.do("sweep", self.node_id, self._folder))
            _, late = await asyncio.wait({sweep}, timeout=SWEEP_PATIENCE_S)
            if late:
                sweep.cancel()
                _log.warning("run %s: nobody could look for left-overs on node %s", self.allocation_id, self.node_id)
            elif (problem := sweep.exception()) is not None:
                _log.warning("run %s: no look at left-overs: %s", self.allocation_id, problem)
        if self.kill_wanted:
            return RunExit(KILLED, time.time(), "killed together with its Ray actor.")
        return RunExit(None, time.time(), f"its Ray actor or node was lost: {reason}")

    async def _kill(self) -> None:
        """Nicely where there is a process; else, or if that does not help, by the death of its keeper."""
        while not self.is_over:
            try:
                if self.node_id is not None:
                    await self._bridge.do("kill", self.allocation_id)
                    await asyncio.sleep(KILL_PATIENCE_S)
                await self._bridge.do("destroy", self.allocation_id)
                break
            except Lost:
                break
            except Unavailable:
                await asyncio.sleep(RETRY_S)

    async def _finish(self) -> None:
        while True:
            try:
                return await self._bridge.do("finish", self.allocation_id)
            except Unavailable:
                await asyncio.sleep(RETRY_S)

    async def _tell(self, call: Callable[[], Awaitable[None]]) -> None:
        await tell(self.allocation_id, call)
