"""Output of several processes in one stream: whole lines, each with the rank of its process in front."""

from __future__ import annotations

import asyncio
import os

_LONGEST_LINE = 1 << 20
"""A line beyond that is cut, so that one without an end is shown some time and does not fill the memory."""
_LAST_WORDS_S = 5.0
"""For what still holds a stream of a process that has ended."""


class Output:
    """Copies lines from pipes to descriptors of this process. Belongs to one event loop."""

    def __init__(self) -> None:
        self._copies: list[asyncio.Task[None]] = []

    async def add(self, pipe: int, target: int, rank: int) -> None:
        """Copy a pipe from now on.

        Args:
            pipe: the end to read from; it is closed at its end.
            target: where lines go to.
            rank: of the process that writes.
        """
        reader = asyncio.StreamReader(limit=_LONGEST_LINE)
        file = os.fdopen(pipe, "rb", buffering=0)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
        self._copies.append(asyncio.create_task(_copy(reader, target, f"[rank={rank}] ".encode())))

    async def finish(self) -> None:
        """Wait for the ends of all pipes; not for long, since a process left behind may hold one."""
        if self._copies:
            _, left = await asyncio.wait(self._copies, timeout=_LAST_WORDS_S)
            for copy in left:
                copy.cancel()


async def _copy(reader: asyncio.StreamReader, target: int, prefix: bytes) -> None:
    while line := await _line(reader):
        _write(target, prefix + line + b"\n" * (not line.endswith(b"\n")))


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await reader.readexactly(max(error.consumed, 1))


def _write(target: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]
