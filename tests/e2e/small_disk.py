"""Runs a command that sees a small disk at one place: ``python -m tests.e2e.small_disk FOLDER BYTES COMMAND...``.

The disk is in memory, and only this process and what it starts see it. Needs root, or a kernel that lets users make
namespaces.
"""

from __future__ import annotations

import ctypes
import os
import sys

from determined.launchers import namespaces


def main() -> None:
    """Mount, then become the command."""
    folder, size, *command = sys.argv[1:]
    namespaces.enter([])
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"size={size}".encode()
    if libc.mount(b"none", os.fsencode(folder), b"tmpfs", ctypes.c_ulong(0), options) != 0:
        raise OSError(ctypes.get_errno(), f"cannot mount a small disk at {folder}")
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
