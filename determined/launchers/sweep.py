"""Finding and killing the processes of a run whose shim is gone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

import psutil

from determined.launchers import paths
from determined.launchers.environment import RUN_FOLDER

_ROUND_S = 5.0
"""How long one round waits for what it killed, before it looks again."""


def take_lock(path: Path) -> int | None:
    """Take a run's lock; None when a process of the run, or its starter, holds it. Close the result to release it.

    Raises:
        FileNotFoundError: the run's folder does not exist.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def is_held(path: Path) -> bool:
    """Whether some process holds a run's lock."""
    if not path.exists():
        return False
    descriptor = take_lock(path)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is None


def wait_for_lock(path: Path) -> None:
    """Block until nobody holds a run's lock."""
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)


def kill_all(folder: Path, spare: Collection[int], stopped: Callable[[], bool]) -> bool:
    """Kill every process of a run until none is found and its lock is free. Blocks.

    Args:
        folder: the run's folder, without links in its path.
        spare: processes never to be killed.
        stopped: asked between rounds; True ends the work early.

    Returns:
        Whether all are gone.
    """
    lock = folder / paths.LOCK
    while not stopped():
        if found := _members(folder, {os.getpid(), *spare}):
            _kill(found)
        elif not is_held(lock):
            return True
        else:
            _wait_for_stranger(lock)
    return False


def _wait_for_stranger(lock: Path) -> None:
    """Somebody we may not see or kill holds the lock: wait, but look again now and then."""
    waiter = threading.Thread(target=wait_for_lock, args=(lock,), daemon=True)
    waiter.start()
    waiter.join(_ROUND_S)


def _kill(processes: list[psutil.Process]) -> None:
    """Kill and wait, not for ever. psutil compares start times first, so that a reused pid is safe."""
    with contextlib.ExitStack() as handles:
        left: set[int] = set()
        for process in processes:
            if (handle := _handle_of(process)) is not None:
                handles.callback(os.close, handle)
                left.add(handle)
            with contextlib.suppress(psutil.Error):
                process.kill()
        if left:
            _wait_for(left)
        else:
            psutil.wait_procs(processes, timeout=_ROUND_S)


def _handle_of(process: psutil.Process) -> int | None:
    """Readable once the process is dead, even if nobody has collected it yet; None where there is no such thing."""
    try:
        return os.pidfd_open(process.pid) if hasattr(os, "pidfd_open") else None
    except OSError:
        return None


def _wait_for(handles: set[int]) -> None:
    give_up = time.monotonic() + _ROUND_S
    poll = select.poll()
    for handle in handles:
        poll.register(handle, select.POLLIN)
    left = len(handles)
    while left and (patience := give_up - time.monotonic()) > 0:
        for handle, _ in poll.poll(patience * 1000):
            poll.unregister(handle)
            left -= 1


def _members(folder: Path, spare: Collection[int]) -> list[psutil.Process]:
    """Processes that carry the run's folder in their environment, hold its lock, or descend from such."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if process.pid not in spare and _belongs(process, folder):
            found[process.pid] = process
            found.update((child.pid, child) for child in _children(process) if child.pid not in spare)
    return list(found.values())


def _belongs(process: psutil.Process, folder: Path) -> bool:
    try:
        if process.environ().get(RUN_FOLDER) == str(folder):
            return True
        return any(file.path == str(folder / paths.LOCK) for file in process.open_files())
    except (psutil.Error, OSError):
        return False


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []
