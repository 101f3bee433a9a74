"""Gathering memory into huge pages, so that a process is forked, and ends, sooner. Standard library only.

Most of what a fork costs is a copy of the tables of small pages. Where one of these is written to afterwards, only that
page is copied, as without this.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

_SIZE = 1 << 21
_MADV_COLLAPSE = 25
"""Since Linux 6.1; older kernels refuse it."""


def gather() -> None:
    """Do so with all of this process's own memory that is large enough; nothing where the system cannot."""
    if sys.platform != "linux":
        return
    import ctypes

    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    with contextlib.suppress(OSError, ValueError):
        for start, end in list(_own_memory()):
            for place in range(-(-start // _SIZE) * _SIZE, end // _SIZE * _SIZE, _SIZE):
                madvise(place, _SIZE, _MADV_COLLAPSE)


def _own_memory() -> Iterator[tuple[int, int]]:
    """Where writable memory is that belongs to no file."""
    with open("/proc/self/maps", encoding="utf-8") as file:  # noqa: PTH123  # cheap imports only
        for line in file:
            place, mode, _, _, _, *name = line.split(maxsplit=5)
            if mode.startswith("rw") and (not name or name[0].strip() == "[heap]"):
                start, _, end = place.partition("-")
                yield int(start, 16), int(end, 16)
