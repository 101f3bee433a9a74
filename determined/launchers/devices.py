"""What this machine has for runs: its GPUs, or else shares of its cores."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from determined.errors import InvalidInput
from determined.launchers.protocol import Slot, SlotKind

QUERY_TIMEOUT_S = 10.0
_QUERY = ("--query-gpu=index,uuid,name", "--format=csv,noheader")


def find_slots(limit: int | None) -> tuple[Slot, ...]:
    """The slots of this machine. May take seconds where there are GPUs.

    Args:
        limit: how many at most, or exactly for a machine without GPUs; None for all GPUs or one per usable core, at
            least 2.

    Raises:
        InvalidInput: the limit is negative.
    """
    if limit is not None and limit < 0:
        raise InvalidInput(f"the number of slots is {limit}; it must be 0 or more.")
    if limit == 0:
        return ()
    gpus = parse_gpus(_query_gpus(), os.environ.get("CUDA_VISIBLE_DEVICES"))
    if gpus:
        return gpus[:limit]
    count = max(2, usable_cores()) if limit is None else limit
    return tuple(Slot(number, SlotKind.CPU, f"cpu {number}") for number in range(count))


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def parse_gpus(listing: str, visible: str | None) -> tuple[Slot, ...]:
    """Slots from lines of ``index, uuid, name``.

    Args:
        visible: the master's own ``CUDA_VISIBLE_DEVICES``, to which the runs are restricted too.
    """
    rows = [[cell.strip() for cell in line.split(",", 2)] for line in listing.splitlines()]
    gpus = [row for row in rows if len(row) == 3 and row[0].isdecimal()]
    if visible is not None:
        wanted = [word.strip() for word in visible.split(",") if word.strip()]
        gpus = [row for word in wanted for row in gpus if row[0] == word or row[1].startswith(word)]
    return tuple(Slot(number, SlotKind.CUDA, row[2], row[1]) for number, row in enumerate(gpus))


def _query_gpus() -> str:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ""
    command: Sequence[str] = (tool, *_QUERY)
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=QUERY_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout if result.returncode == 0 else ""
