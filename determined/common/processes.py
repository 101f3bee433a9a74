"""Processes that are not our children: who they are, and when they end."""

from __future__ import annotations

import os
import select
import signal
from types import TracebackType


class Handle:
    """A process, held so that its number cannot come to mean another one while we look at it.

    A context manager. Where the system has no such handles (all but Linux) the number alone must do.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor: int | None = None
        self._is_gone = False

    def __enter__(self) -> Handle:
        if hasattr(os, "pidfd_open"):
            try:
                self._descriptor = os.pidfd_open(self.pid)
            except (ProcessLookupError, OverflowError, ValueError):
                self._is_gone = True
            except OSError:
                # A kernel or sandbox without them.
                self._descriptor = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens if the process is gone."""
        if self._is_gone:
            return
        try:
            if self._descriptor is None:
                os.kill(self.pid, number)
            else:
                signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            self._is_gone = True

    def wait(self, timeout_s: float) -> bool:
        """Wait until the process has ended; False if it has not in time."""
        if self._is_gone:
            return True
        if self._descriptor is not None:
            return _is_readable(self._descriptor, timeout_s)
        import psutil

        try:
            psutil.Process(self.pid).wait(timeout_s)
        except psutil.NoSuchProcess:
            return True
        except psutil.TimeoutExpired:
            return False
        return True


def command_line(pid: int) -> list[str]:
    """The arguments that a process was started with; empty if it is gone or somebody else's."""
    import psutil

    try:
        return psutil.Process(pid).cmdline()
    except (psutil.Error, ValueError, OverflowError):
        return []


def read_line(descriptor: int, timeout_s: float) -> bytes | None:
    """The first line from a pipe, or what came before its end; None if neither was there in time."""
    line = b""
    while not line.endswith(b"\n"):
        if not _is_readable(descriptor, timeout_s):
            return None
        block = os.read(descriptor, 1 << 16)
        if not block:
            break
        line += block
    return line


def _is_readable(descriptor: int, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))
