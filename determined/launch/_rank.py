"""The first lines of a process that torchrun starts: hand the output over to the launcher, become the command.

The command keeps the process, so that torchrun sees its signals and its exit code and nothing in between.
"""

from __future__ import annotations

import os
import socket
import sys

from determined.launch._ends import cannot_start

OUTPUT = "DET_LAUNCH_OUTPUT"
"""Path of the socket at which the launcher takes the ends of pipes."""


def main(command: list[str]) -> int:
    """Become the command; returns only when that is not possible."""
    if path := os.environ.pop(OUTPUT, None):
        _hand_over(path)
    try:
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        return cannot_start(command, error)


def _hand_over(path: str) -> None:
    pipes = os.pipe(), os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as launcher:
        launcher.connect(path)
        told = f"{os.environ.get('RANK', '0')} {os.getpid()}"
        socket.send_fds(launcher, [told.encode()], [read_end for read_end, _ in pipes])
    for descriptor, (read_end, write_end) in zip((1, 2), pipes, strict=True):
        os.dup2(write_end, descriptor)
        os.close(read_end)
        os.close(write_end)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
