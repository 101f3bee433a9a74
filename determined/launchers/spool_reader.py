"""Reads what `determined.launchers.spool` writes, while it is being written."""

from __future__ import annotations

from pathlib import Path

from determined.launchers.protocol import LogLine

_CHUNK_BYTES = 1 << 20
_STREAMS = {b"o": "stdout", b"e": "stderr"}


class SpoolReader:
    """A position in a spool; blocking, so call it from a thread.

    Attributes:
        next_index: number of the line that `read` gives next, counted from 0.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.next_index = 0

    def skip_to(self, index: int) -> None:
        """Go forward to a line; when there are fewer lines, to the end of them."""
        while self.next_index < index:
            lines = self._whole_lines(index - self.next_index)
            if not lines:
                return
            self._advance(lines)

    def has_more(self) -> bool:
        """Whether the file is longer than what was read; quick."""
        try:
            return self._path.stat().st_size > self._offset
        except FileNotFoundError:
            return False

    def read(self, *, final: bool = False) -> list[LogLine]:
        """The next lines, up to about a megabyte; [] when there are none now.

        Args:
            final: the writer is gone, so text after the last newline is a line too.
        """
        lines = self._whole_lines()
        if not lines and final:
            torn = self._peek()
            lines = [torn] if torn else []
        self._advance(lines)
        return [_parse(line) for line in lines]

    def _peek(self, size: int = _CHUNK_BYTES) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                return file.read(size)
        except FileNotFoundError:
            return b""

    def _whole_lines(self, limit: int = -1) -> list[bytes]:
        lines = self._peek().split(b"\n", limit)
        lines.pop()
        return lines

    def _advance(self, lines: list[bytes]) -> None:
        self._offset += sum(len(line) + 1 for line in lines)
        self.next_index += len(lines)


def _parse(line: bytes) -> LogLine:
    """Lenient: a line damaged by a power failure stays a line, so that all others keep their number."""
    stamp, _, rest = line.partition(b" ")
    mark, _, text = rest.partition(b" ")
    try:
        at, stdtype = float(stamp), _STREAMS[mark]
    except (ValueError, KeyError):
        at, stdtype, text = 0.0, "stdout", line
    return LogLine(at, stdtype, text.decode("utf-8", "replace").replace("\0", "\ufffd"))
