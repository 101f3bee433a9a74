"""Many files at once: a bounded number of threads, and word of how far they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

AT_ONCE = 8
"""Files, or pieces of files, on their way at the same time."""
PIECE_BYTES = 16 << 20
"""Larger files are fetched in pieces of this size; a download holds at most ``AT_ONCE`` pieces in memory."""


@dataclass(frozen=True, slots=True)
class Moved:
    """How far a transfer is.

    Attributes:
        files, size_bytes: what there is to move.
        files_done, bytes_done: what has been moved.
    """

    files: int
    size_bytes: int
    files_done: int = 0
    bytes_done: int = 0


Watcher = Callable[[Moved], None]
"""Is told how far a transfer is: at its beginning, and whenever a piece or a file is done; by the thread that waits."""


def run_all(jobs: Sequence[Callable[[], T]], done: Callable[[T], None] = lambda _: None) -> None:
    """Do all jobs, several at a time; ``done`` gets each result, in this thread.

    Raises:
        Exception: what the first job failed with; jobs that had not begun by then are left out.
    """
    if len(jobs) < 2:
        for job in jobs:
            done(job())
        return
    with ThreadPoolExecutor(min(AT_ONCE, len(jobs)), thread_name_prefix="objects") as pool:
        futures = [pool.submit(job) for job in jobs]
        try:
            for future in as_completed(futures):
                done(future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class Tally:
    """Counts what has been moved, and tells the watcher.

    Args:
        sizes: in bytes, by name.
        watch: is told; may be missing.
    """

    def __init__(self, sizes: dict[str, int], watch: Watcher | None) -> None:
        self._left = dict(sizes)
        self._watch = watch
        self._now = Moved(len(sizes), sum(sizes.values()))
        self._tell()

    def add(self, name: str, size_bytes: int) -> None:
        """So many more bytes of a file are there."""
        now = self._now
        self._left[name] -= size_bytes
        whole = now.files_done + (self._left[name] <= 0)
        self._now = Moved(now.files, now.size_bytes, whole, now.bytes_done + size_bytes)
        self._tell()

    def _tell(self) -> None:
        if self._watch is not None:
            self._watch(self._now)
