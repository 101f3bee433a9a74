"""A warm process that forks shims, so that a run does not wait for one more interpreter to start.

A child of the master, with one socket to it. It ends when the master closes the socket or dies; shims that have a run
do not notice. Requests end with a NUL:

- a run's folder, with the run's taken lock attached: start it. The answer is ``+`` when a shim has put the run on
  record, ``-`` when it has not (another shim was first, or it failed: the folder tells).
- ``-`` and a run's folder: the run is over, and nobody will send a signal to its shim any more. There is no answer.

A template's shims are as large as the template, so they serve one run after the other. Standard library only.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

from determined.launchers import huge_pages, paths, shim

BOOT = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from determined.launchers.fork_server import main; main(int(sys.argv[2]))"
)
"""Program text for ``python -I -S -c``; isolated, so that nothing of the user's can break or slow the shims."""
BOOT_TEMPLATE = "import sys; from determined.launchers.fork_server import main; main(int(sys.argv[1]), sys.argv[2:])"
"""Program text for ``python -c``: runs are forked from this one, and find what they would find in their own."""
LEASHED = "from determined.launchers import tree; tree.die_with_parent(); "
"""Before that text where a template must not outlive its starter: it may be at its imports for as long as it likes."""
RELEASE = b"-"
"""Before the folder of a run that is over."""
MOST_WAITING = 4
"""Shims without a run that are kept."""


def main(socket_fd: int, modules: Sequence[str] | None = None) -> None:
    """Serve until the master is gone.

    Args:
        modules: what a template loads before; see `determined.launchers.warm.load`. None: be none.
    """
    import ctypes  # noqa: F401  here, so that no shim has to load it

    if modules is not None:
        from determined.launchers import warm

        warm.load(modules)

    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    os.chdir("/")
    gc.collect()
    gc.freeze()
    if modules is not None:
        huge_pages.gather()
    with socket.socket(fileno=socket_fd) as master:
        shims = _Shims(master) if modules is not None else None
        for folder, lock_fd in _requests(master):
            if lock_fd is None:
                if shims is not None:
                    shims.release(folder)
                continue
            started = _start(master, folder, lock_fd) if shims is None else shims.start(folder, lock_fd)
            master.sendall(b"+" if started else b"-")
            if shims is not None:
                shims.fork_ahead()


def _requests(master: socket.socket) -> Iterator[tuple[Path, int | None]]:
    """Folders of runs, with the locks of those that are to be started, until the master is gone."""
    text = b""
    locks: list[int] = []
    while True:
        data, fds, _, _ = socket.recv_fds(master, 1 << 16, 8)
        if not data:
            return
        locks += fds
        *whole, text = (text + data).split(b"\0")
        for request in whole:
            if request.startswith(RELEASE):
                yield Path(os.fsdecode(request[len(RELEASE) :])), None
            else:
                yield Path(os.fsdecode(request)), locks.pop(0)


def _start(master: socket.socket, folder: Path, lock_fd: int) -> bool:
    """Start a run in a shim of its own."""
    ready, ready_end = os.pipe()
    with _forking() as is_child:
        if is_child:
            master.close()
            os.close(ready)
            shim.main(folder, lock_fd, ready_end)
    os.close(lock_fd)
    return _is_ready(ready, ready_end)


def _is_ready(ready: int, ready_end: int) -> bool:
    """Wait until a shim has said so, or has ended."""
    os.close(ready_end)
    is_ready = os.read(ready, 1) == b"1"
    os.close(ready)
    return is_ready


class _Shims:
    """The shims of a template: those that wait, with a child that is forked already, and those that have a run.

    To fork a large process, and that one once more, takes longer than everything else that happens before a run's first
    line, and its end takes nearly as long.
    """

    def __init__(self, master: socket.socket) -> None:
        self._master = master
        self._waiting: list[socket.socket] = []
        self._busy: dict[Path, socket.socket] = {}

    def start(self, folder: Path, lock_fd: int) -> bool:
        """Start a run in one of them."""
        try:
            while self._waiting:
                if self._give(self._waiting.pop(), folder, lock_fd):
                    return True
                if (folder / paths.SHIM).exists():
                    return False
                # It was about to end, or somebody has killed it, and it has not seen the run.
            return self._give(self._fork(lock_fd), folder, lock_fd)
        finally:
            os.close(lock_fd)

    def _give(self, shim_socket: socket.socket, folder: Path, lock_fd: int) -> bool:
        ready, ready_end = os.pipe()
        with contextlib.suppress(OSError):
            socket.send_fds(shim_socket, [os.fsencode(folder)], [lock_fd, ready_end])
        is_ready = _is_ready(ready, ready_end)
        if is_ready:
            self._busy[folder] = shim_socket
        else:
            shim_socket.close()
        return is_ready

    def fork_ahead(self) -> None:
        """Have at least one that waits."""
        if not self._waiting:
            self._waiting.append(self._fork())

    def release(self, folder: Path) -> None:
        """The shim of this run may get another."""
        shim_socket = self._busy.pop(folder, None)
        if shim_socket is None:
            return
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(shim_socket)
        else:
            shim_socket.close()

    def _fork(self, *descriptors: int) -> socket.socket:
        """Fork one that keeps none of these descriptors."""
        ours, theirs = socket.socketpair()
        with _forking() as is_child:
            if is_child:
                # Each is to notice when this process is gone, whoever else is there.
                for other in (self._master, ours, *self._waiting, *self._busy.values()):
                    other.close()
                for descriptor in descriptors:
                    os.close(descriptor)
                try:
                    shim.stand_by(theirs)
                finally:
                    # Whatever went wrong, this is not the template.
                    os._exit(70)
        theirs.close()
        return ours


@contextlib.contextmanager
def _forking() -> Iterator[bool]:
    """Fork with signals held back, in the child for good; says whether this is the child, which must not return."""
    signal.pthread_sigmask(signal.SIG_BLOCK, shim.HELD_BACK)
    yield os.fork() == 0
    signal.pthread_sigmask(signal.SIG_UNBLOCK, shim.HELD_BACK)
