"""The templates that are alive: as many as memory allows and runs ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet
from pathlib import Path

import psutil

from determined.errors import Unavailable
from determined.launchers.forker import Forker
from determined.launchers.templates import Template

MAX_TEMPLATES = 4
IDLE_S = 600.0
"""After which a template that nobody has used is ended."""
LEAST_FREE = 0.1
"""Share of the memory below which only the newest template is kept."""


class WarmForkers:
    """A fork server for each template that was used lately. Call it from one event loop."""

    def __init__(self, runs: Path, *, leashed: bool = False) -> None:
        self._runs = runs
        self._leashed = leashed
        self._forkers: dict[Template, Forker] = {}
        self._broken: set[Template] = set()
        self._started: dict[Path, Forker] = {}
        self._timers: dict[Template, asyncio.TimerHandle] = {}
        self._ends: set[asyncio.Task[None]] = set()

    @property
    def pids(self) -> AbstractSet[int]:
        """Their processes."""
        return {forker.pid for forker in self._forkers.values() if forker.pid is not None}

    async def spawn(self, template: Template, folder: Path, lock_fd: int) -> None:
        """Start the shim of a prepared run from a template.

        Raises:
            Unavailable: there can be no such template, as when its modules end the process that loads them.
        """
        if template in self._broken:
            raise Unavailable("its template could not be started before")
        forker = self._use(template)
        try:
            await forker.spawn(folder, lock_fd)
            self._started[folder] = forker
        except Unavailable:
            self._broken.add(template)
            self._end(template)
            raise

    def release(self, folder: Path) -> None:
        """A run is over, and nothing more is wanted of its shim, which may have another run."""
        if (forker := self._started.pop(folder, None)) is not None:
            forker.release(folder)

    async def close(self) -> None:
        """End all; runs go on."""
        for template in list(self._forkers):
            self._end(template)
        await asyncio.gather(*self._ends)

    def _use(self, template: Template) -> Forker:
        """The forker of a template, as the one that was used last."""
        forker = self._forkers.pop(template, None)
        if forker is None:
            memory = psutil.virtual_memory()
            most = MAX_TEMPLATES if memory.available > LEAST_FREE * memory.total else 1
            for oldest in list(self._forkers)[: max(len(self._forkers) - most + 1, 0)]:
                self._end(oldest)
            forker = Forker(self._runs, template, leashed=self._leashed)
        self._forkers[template] = forker
        if (timer := self._timers.pop(template, None)) is not None:
            timer.cancel()
        self._timers[template] = asyncio.get_running_loop().call_later(IDLE_S, self._end, template)
        return forker

    def _end(self, template: Template) -> None:
        forker = self._forkers.pop(template, None)
        if (timer := self._timers.pop(template, None)) is not None:
            timer.cancel()
        if forker is not None:
            task = asyncio.create_task(forker.end())
            self._ends.add(task)
            task.add_done_callback(self._ends.discard)
