"""The newest lines of the master's own log, kept in memory for those who ask."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from determined.wire.logs import LEVELS, level_name
from determined.wire.server import MasterLog, MasterLogEntry
from determined.wire.times import to_text

LINES: Final = 10_000
MAX_LINE: Final = 8192


class LogRing(logging.Handler):
    """A logging handler that remembers the last ``LINES`` records. Records may come from any thread."""

    def __init__(self, lines: int = LINES) -> None:
        super().__init__()
        self._entries: deque[MasterLogEntry] = deque(maxlen=lines)
        self._guard = threading.Lock()
        self._count = 0
        self._is_over = False
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Remember one record, and wake those who follow."""
        try:
            text = self.format(record)[:MAX_LINE]
        except Exception:
            self.handleError(record)
            return
        level = level_name(record.levelname if record.levelname in LEVELS else "")
        with self._guard:
            self._count += 1
            self._entries.append(
                MasterLogEntry(id=self._count, message=text, timestamp=to_text(record.created), level=level)
            )
        self._wake()

    def finish(self) -> None:
        """Let those who follow come to an end: the master stops."""
        self._is_over = True
        self._wake()

    def _wake(self) -> None:
        with self._guard:
            waiting = list(self._waiting)
        for loop, news in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(news.set)

    def entries(self, after: int = 0) -> list[MasterLogEntry]:
        """What is remembered with a number above ``after``."""
        with self._guard:
            return [entry for entry in self._entries if entry.id > after]

    async def read(self, offset: int, limit: int, follow: bool) -> AsyncIterator[list[MasterLog]]:
        """Lines in order.

        Args:
            offset: how many to leave out; a negative one counts from the end.
            limit: how many at most; 0 for all.
            follow: whether to go on with new lines as they come.
        """
        found = self.entries()
        last = found[-1].id if found else 0
        found = found[offset:] if offset else found
        yield [MasterLog(log_entry=entry) for entry in (found[:limit] if limit else found)]
        if not follow:
            return
        waiting = (asyncio.get_running_loop(), asyncio.Event())
        with self._guard:
            self._waiting.add(waiting)
        try:
            while not self._is_over:
                fresh = self.entries(last)
                if fresh:
                    last = fresh[-1].id
                    yield [MasterLog(log_entry=entry) for entry in fresh]
                    continue
                await waiting[1].wait()
                waiting[1].clear()
        finally:
            with self._guard:
                self._waiting.discard(waiting)
