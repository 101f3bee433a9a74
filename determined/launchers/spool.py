"""A run's output on disk: one line of text for each line the run wrote, with the time and the stream.

The format is ``<seconds with microseconds> <o|e> <text>``, so that people can read and grep it. This half writes,
and is imported by the shim; `determined.launchers.spool_reader` reads.
"""

from __future__ import annotations

import os
from pathlib import Path

MAX_LINE_BYTES = 64 * 1024
"""Longer lines are cut into several."""


class LineSplitter:
    """Cuts a stream of bytes into lines, the same way however the stream arrives in pieces.

    A line ends at a newline. A carriage return ends a piece too, so that each step of a progress bar is a line; pieces
    without text between carriage returns are dropped.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._gave_pieces = False

    def feed(self, data: bytes) -> list[bytes]:
        """The pieces that are complete with ``data``."""
        *whole, rest = (self._rest + data).split(b"\n")
        pieces: list[bytes] = []
        for line in whole:
            self._add_line(line, pieces)
        if b"\r" in rest:
            *steps, rest = rest.split(b"\r")
            self._add_pieces(steps, pieces)
        while len(rest) > MAX_LINE_BYTES:
            at = _cut_at(rest)
            self._add_pieces([rest[:at]], pieces)
            rest = rest[at:]
        self._rest = rest
        return pieces

    def finish(self) -> list[bytes]:
        """What came after the last line end."""
        pieces: list[bytes] = []
        if self._rest:
            self._add_pieces([self._rest], pieces)
            self._rest = b""
        return pieces

    def _add_line(self, line: bytes, pieces: list[bytes]) -> None:
        self._add_pieces(line.split(b"\r"), pieces)
        if not self._gave_pieces:
            pieces.append(b"")
        self._gave_pieces = False

    def _add_pieces(self, found: list[bytes], pieces: list[bytes]) -> None:
        for piece in found:
            left = piece
            while len(left) > MAX_LINE_BYTES:
                at = _cut_at(left)
                pieces.append(left[:at])
                left = left[at:]
            if left:
                pieces.append(left)
                self._gave_pieces = True


def _cut_at(line: bytes) -> int:
    """The last place within the bound that does not cut a UTF-8 character."""
    for at in range(MAX_LINE_BYTES, MAX_LINE_BYTES - 4, -1):
        if line[at] & 0xC0 != 0x80:
            return at
    return MAX_LINE_BYTES


def format_line(at: float, mark: str, piece: bytes) -> bytes:
    """A spool line; what is not UTF-8, and NUL (which no data base keeps), becomes the replacement character."""
    text = piece.decode("utf-8", "replace").replace("\0", "\ufffd")
    return f"{at:.6f} {mark} {text}\n".encode()


class Spool:
    """Appends to the file. When the disk is full it keeps what it has and says so, so that the reader can pause.

    Attributes:
        blocked: the last write failed; nothing more should be read from the run until `retry` succeeds.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._pending = b""
        # What a shim before us has written may not be on the disk yet.
        self._is_synced = os.fstat(self._fd).st_size == 0
        self.blocked = False

    def append(self, data: bytes) -> None:
        """Write now, or keep it for `retry`."""
        self._pending += data
        self._is_synced = False
        self.retry()

    def retry(self) -> None:
        """Write what is pending; sets `blocked`."""
        try:
            while self._pending:
                self._pending = self._pending[os.write(self._fd, self._pending) :]
        except OSError:
            self.blocked = True
        else:
            self.blocked = False

    def close(self) -> None:
        """Give up the file."""
        os.close(self._fd)

    def sync(self) -> None:
        """Make everything written durable.

        Raises:
            OSError: it cannot be written.
        """
        while self._pending:
            self._pending = self._pending[os.write(self._fd, self._pending) :]
        self.blocked = False
        if not self._is_synced:
            os.fsync(self._fd)
            self._is_synced = True
