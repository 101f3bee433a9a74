"""How a shim wakes the master without either of them polling: a line in a FIFO. The disk is the truth, this only wakes.

Writing half; imported by the shim: standard library only.
"""

from __future__ import annotations

import enum
import errno
import os
import time
from pathlib import Path

GAP_S = 0.02
"""At most one wake-up per run in this time."""
RETRY_S = 0.2
"""When the FIFO is full because the master is busy or stopped."""


class _Poke(enum.Enum):
    """What came of an attempt to wake the master."""

    WRITTEN = enum.auto()
    FULL = enum.auto()
    """Nothing fits into the FIFO now."""
    NOBODY = enum.auto()
    """There is no master to wake: the next one reads the disk."""


class News:
    """Wake-ups of one run: the first at once, then gathered, the last never lost while the run lives."""

    def __init__(self, fifo: Path, allocation_id: str) -> None:
        self._fifo = fifo
        self._line = f"{allocation_id}\n".encode()
        self._noted = False
        self._not_before = 0.0

    def announce(self) -> bool:
        """Wake the master, and let the next `note` do so too; whether there is one that will read it."""
        done = self._poke()
        self._noted = done is _Poke.FULL
        return done is _Poke.WRITTEN

    def note(self) -> None:
        """There is something new on disk."""
        self._noted = True
        self.flush_if_due()

    def due_in(self) -> float | None:
        """Seconds until `flush_if_due` wants to be called; None when there is no news."""
        return max(0.0, self._not_before - time.monotonic()) if self._noted else None

    def flush_if_due(self) -> None:
        """Wake the master, unless it was woken just now."""
        if self._noted and time.monotonic() >= self._not_before:
            self._noted = self._poke() is _Poke.FULL
            self._not_before = time.monotonic() + (RETRY_S if self._noted else GAP_S)

    def _poke(self) -> _Poke:
        try:
            fd = os.open(self._fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return _Poke.NOBODY
        try:
            os.write(fd, self._line)
        except OSError as error:
            return _Poke.FULL if error.errno == errno.EAGAIN else _Poke.NOBODY
        finally:
            os.close(fd)
        return _Poke.WRITTEN
