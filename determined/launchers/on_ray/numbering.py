"""One count of the lines of a run of several parts, each of which counts its own.

The master knows a run's lines by their number in the run, and so how many it has. A later master must find out which
lines of which part those are. So before a batch is handed over, a small file says what will have been counted with it.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import msgspec

from determined import files

_PREFIX = "lines-"


class _Batch(msgspec.Struct, frozen=True):
    """What was counted before a batch, and the batch.

    Attributes:
        counts: lines of each part before it.
        part: whose lines they are.
        size: how many.
    """

    counts: tuple[int, ...]
    part: int = 0
    size: int = 0

    def counts_after(self) -> tuple[int, ...]:
        return tuple(count + self.size * (number == self.part) for number, count in enumerate(self.counts))


class Numbering:
    """Lines of one run. Blocking; one call at a time.

    Attributes:
        counts: lines of each part that the master has.
    """

    def __init__(self, path: Path, parts: int, lines_known: int) -> None:
        """Take up the count where an earlier master left it.

        Args:
            path: of the file, which may not exist.
            parts: how many there are.
            lines_known: how many lines of the run the master has.
        """
        self._path = path
        self.counts = _counts(path, parts, lines_known)

    def next(self, part: int, size: int) -> int:
        """Number in the run of the first of the next lines of a part. They count only after `took`."""
        batch = _Batch(self.counts, part, size)
        files.replace_file(self._path, msgspec.json.encode(batch), "ray.numbering", 0o600)
        return sum(self.counts)

    def took(self, part: int, size: int) -> None:
        """The master has these lines."""
        self.counts = _Batch(self.counts, part, size).counts_after()

    def forget(self) -> None:
        """The run is over, and all of its lines are with the master."""
        files.remove(self._path, "ray.numbering.forget")


def counts_file(folder: Path, allocation_id: str) -> Path:
    """Where the count of a run is."""
    return folder / f"{_PREFIX}{allocation_id}"


def forget_others(folder: Path, live: Collection[str]) -> None:
    """Remove the counts of runs that are over: a master died before it could."""
    for path in folder.glob(f"{_PREFIX}*"):
        if path.name.removeprefix(_PREFIX) not in live:
            files.remove(path, "ray.numbering.forget_others")


def _counts(path: Path, parts: int, lines_known: int) -> tuple[int, ...]:
    try:
        batch = msgspec.json.decode(path.read_bytes(), type=_Batch)
    except (FileNotFoundError, msgspec.MsgspecError):
        batch = _Batch(())
    for counts in (batch.counts, batch.counts_after()):
        if len(counts) == parts and sum(counts) == lines_known:
            return counts
    # Somebody has lost the file. Nobody can tell whose lines are known, so some come again: better twice than never.
    return (lines_known, *(0,) * (parts - 1))
