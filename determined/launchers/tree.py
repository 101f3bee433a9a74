"""Trees of processes: who descends from whom, and killing all of them. Imported by the shim: standard library only."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

_PARENT_FIELD = 1
_START_FIELD = 19
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NAME = 15


def become_reaper(name: str) -> None:
    """Make orphans among our descendants our children, so that none can slip away; nothing outside Linux."""
    if sys.platform == "linux":
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        libc.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def die_with_parent() -> None:
    """Have this process, and the program that it becomes, killed when its parent dies; nothing outside Linux."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def start_ticks(pid: int) -> int | None:
    """When a process started, in ticks since boot; with the pid it names one process. None if unknown or gone."""
    fields = _stat(pid)
    return int(fields[_START_FIELD]) if fields else None


def descendants(root: int) -> set[int]:
    """All processes below ``root`` now; empty outside Linux."""
    if sys.platform != "linux":
        return set()
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 (names are enough, and quick)
        if entry.isdigit() and (fields := _stat(int(entry))):
            children.setdefault(int(fields[_PARENT_FIELD]), []).append(int(entry))
    found: set[int] = set()
    left = [root]
    while left:
        below = [pid for pid in children.get(left.pop(), ()) if pid not in found]
        found.update(below)
        left.extend(below)
    return found


def kill_descendants(group: int | None, reaped: dict[int, int]) -> None:
    """Kill everything below this process, round after round, until there is nothing left to wait for.

    What is forked while a round runs becomes our child when its parent dies, and is found by the next round.

    Args:
        group: a process group to kill as well, where ``/proc`` cannot tell descendants.
        reaped: pid -> wait status; gets all that ended.
    """
    if sys.platform == "linux" and not reap(reaped):
        # The reaper of all orphans below that has no children has no descendants either.
        return
    while True:
        if group is not None and group not in reaped:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        for pid in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return
        reaped[pid] = status
        if not reap(reaped):
            return


def reap(reaped: dict[int, int]) -> bool:
    """Collect children that ended, without waiting; tells whether any child is left."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
        reaped[pid] = status


def _stat(pid: int) -> list[bytes] | None:
    """Fields of ``/proc/<pid>/stat`` after the command's name (which may contain anything)."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except OSError:
        return None
    try:
        return os.read(descriptor, 4096).rpartition(b")")[2].split()
    except ProcessLookupError:
        return None
    finally:
        os.close(descriptor)
