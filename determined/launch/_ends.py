"""How processes end, and what a launcher says of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

NOT_FOUND = 127
NOT_EXECUTABLE = 126


def exit_code(status: int) -> int:
    """The code by which shells show how a process ended."""
    return 128 - status if status < 0 else status


def say(message: str) -> None:
    """What went wrong, in a line of the launcher's own."""
    print(f"ERROR: [{os.getpid()}] determined.launch: {message}", file=sys.stderr, flush=True)


def cannot_start(command: Sequence[str], error: OSError) -> int:
    """Say why a command has no process; returns the exit code that shells give it."""
    say(f"cannot start {command[0]!r}: {error.strerror or error}; check the command after --")
    return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
