"""Waiting for a database that is away: again and again, ever more rarely, until it is back or we are to stop."""

from __future__ import annotations

import threading
from typing import Final

FIRST_S: Final = 0.05
MOST_S: Final = 2.0


class Backoff:
    """The waits of one thread; others end them with ``stop``, or with an event of their own."""

    def __init__(self, stopped: threading.Event | None = None) -> None:
        self._stopped: Final = threading.Event() if stopped is None else stopped
        self._next_s = 0.0

    def reset(self) -> None:
        """The next wait is none at all: what was lost may be there again."""
        self._next_s = 0.0

    def wait(self) -> bool:
        """Wait; true if it is to be given up."""
        now, self._next_s = self._next_s, min(max(2 * self._next_s, FIRST_S), MOST_S)
        return self._stopped.wait(now)

    def stop(self) -> None:
        """Give up: no more waits."""
        self._stopped.set()

    @property
    def is_stopped(self) -> bool:
        """Whether somebody has said so."""
        return self._stopped.is_set()
