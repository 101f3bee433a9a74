"""A warm process that forks shims, so that a run does not wait for one more interpreter to start.

A child of the master, with one socket to it. It ends when the master closes the socket or dies; the shims do not
notice. Requests are a run's folder and a newline, with the run's taken lock attached; the answer is ``+`` when a shim
has put the run on record, ``-`` when it has not (another shim was first, or it failed: the folder tells). Standard
library only.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from determined.launchers import shim

BOOT = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from determined.launchers.fork_server import main; main(int(sys.argv[2]))"
)
"""Program text for ``python -I -S -c``; isolated, so that nothing of the user's can break or slow the shims."""
BOOT_TEMPLATE = "import sys; from determined.launchers.fork_server import main; main(int(sys.argv[1]), sys.argv[2:])"
"""Program text for ``python -c``: runs are forked from this one, and find what they would find in their own."""
LEASHED = "from determined.launchers import tree; tree.die_with_parent(); "
"""Before that text where a template must not outlive its starter: it may be at its imports for as long as it likes."""
_HELD_BACK = (signal.SIGTERM, signal.SIGCHLD, signal.SIGINT, signal.SIGHUP)


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
    with socket.socket(fileno=socket_fd) as master:
        while request := _receive(master):
            started = _fork(master, *request)
            master.sendall(b"+" if started else b"-")


def _receive(master: socket.socket) -> tuple[Path, int] | None:
    text = b""
    locks: list[int] = []
    while not text.endswith(b"\n"):
        data, fds, _, _ = socket.recv_fds(master, 8192, 1)
        locks += fds
        if not data:
            return None
        text += data
    return Path(os.fsdecode(text[:-1])), locks[0]


def _fork(master: socket.socket, folder: Path, lock_fd: int) -> bool:
    ready, ready_end = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
    if os.fork() == 0:
        master.close()
        os.close(ready)
        shim.main(folder, lock_fd, ready_end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD_BACK)
    os.close(lock_fd)
    os.close(ready_end)
    started = os.read(ready, 1) == b"1"
    os.close(ready)
    return started
