"""What ties runs to the process that keeps them, where they must not outlive it: a FIFO that the keeper holds open.

Where nobody comes back for a run, as after the death of a Ray actor, the run would hold devices for ever and be run
twice. The kernel closes the FIFO with the keeper, however it dies, and each shim notices at once. Imported by the
shim: standard library only.
"""

from __future__ import annotations

import os
from pathlib import Path

from determined.files import action


def hold(path: Path) -> int:
    """Make the FIFO anew and hold it: runs live until the result is closed, or this process ends.

    Not inherited by programs that this process starts.
    """
    with action("launcher.leash"):
        path.unlink(missing_ok=True)
        os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)


def grasp(path: Path) -> int | None:
    """A descriptor on which ``poll`` reports POLLHUP once the keeper is gone; None when it is gone already."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        os.read(descriptor, 1)
    except BlockingIOError:
        return descriptor
    os.close(descriptor)
    return None
