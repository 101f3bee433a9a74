"""Noticing at once that a shim is gone, and never mistaking another process for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from determined.launchers import sweep, tree


class ShimWatch:
    """A shim known by a handle that stays valid when its pid is reused; where there are none, by its lock and start."""

    def __init__(self, pid: int, start_ticks: int | None, handle: int | None) -> None:
        self._pid = pid
        self._start_ticks = start_ticks
        self._handle = handle

    @classmethod
    def open(cls, pid: int, start_ticks: int | None, lock: Path, on_gone: Callable[[], None]) -> ShimWatch | None:
        """Watch a shim; ``on_gone`` is called once in the running loop. None when it is gone already."""
        if not hasattr(os, "pidfd_open"):
            watch = cls(pid, start_ticks, None)
            call_when_free(lock, on_gone)
            return watch if watch._is_same() else None
        try:
            watch = cls(pid, start_ticks, os.pidfd_open(pid))
        except ProcessLookupError:
            return None
        if not watch._is_same():
            watch.close()
            return None
        watch._listen(on_gone)
        return watch

    def _is_same(self) -> bool:
        return tree.start_ticks(self._pid) == self._start_ticks

    def _listen(self, on_gone: Callable[[], None]) -> None:
        def gone() -> None:
            self.close()
            on_gone()

        assert self._handle is not None
        asyncio.get_running_loop().add_reader(self._handle, gone)

    def send(self, number: signal.Signals) -> None:
        """Send a signal; a shim that is gone is left alone."""
        with contextlib.suppress(ProcessLookupError):
            if self._handle is not None:
                signal.pidfd_send_signal(self._handle, number)
            elif not hasattr(os, "pidfd_open") and self._is_same():
                os.kill(self._pid, number)

    def close(self) -> None:
        """Stop watching."""
        if self._handle is not None:
            asyncio.get_running_loop().remove_reader(self._handle)
            os.close(self._handle)
            self._handle = None


def call_when_free(lock: Path, callback: Callable[[], None]) -> None:
    """Call back in the running loop once nobody holds a lock; costs a thread, so for rare cases only."""
    loop = asyncio.get_running_loop()

    def wait() -> None:
        with contextlib.suppress(OSError):
            sweep.wait_for_lock(lock)
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(callback)

    threading.Thread(target=wait, name=f"lock of {lock.parent.name}", daemon=True).start()
