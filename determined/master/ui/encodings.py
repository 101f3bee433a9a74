"""Large answers, encoded once for everybody: by what they show and the version of it, at most once a second each."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final

FRESH_S: Final = 1.0
"""So long an encoding is handed out although there is a newer version."""
MAX_BYTES: Final = 64 << 20
"""What is kept; the encodings that were used last."""
Headers = tuple[tuple[bytes, bytes], ...]
now = time.monotonic
"""The clock of everything that is remembered for a while."""


@dataclass(frozen=True, slots=True)
class Body:
    """What was encoded; ``packed`` is the same in gzip, None where that does not pay."""

    plain: bytes
    packed: bytes | None = None
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Encoded:
    """A body that shows at least the version of its number.

    Attributes:
        began: when its making began; changes from then on may be missing in it.
        made: when it was ready.
    """

    seq: int
    body: Body
    began: float
    made: float


class Encodings:
    """Remembers encodings."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max = max_bytes
        self._kept: OrderedDict[Hashable, Encoded] = OrderedDict()
        self._making: dict[Hashable, asyncio.Future[Encoded]] = {}
        self._bytes = 0

    async def get(
        self,
        key: Hashable,
        version: Callable[[], Awaitable[int]],
        make: Callable[[int], Awaitable[Body]],
        not_before: float = float("-inf"),
        least: int = 0,
    ) -> Encoded:
        """The encoding for a key; made if there is none that will do, and then once for all who ask meanwhile.

        Args:
            version: the newest one.
            make: encodes what is there now; is told the newest version.
            not_before: one whose making began earlier must be of the newest version.
            least: one of an earlier version than this must be of the newest.
        """
        while True:
            newest = await version()
            kept = self._kept.get(key)
            if kept is not None and self._will_do(kept, newest, not_before, least):
                self._kept.move_to_end(key)
                return kept
            making = self._making.get(key)
            if making is None:
                return await asyncio.shield(self._start(key, newest, make))
            # It may have begun before what must be in it.
            await asyncio.shield(making)

    def forget(self) -> None:
        """Make everything anew from now on."""
        self._kept.clear()
        self._bytes = 0

    def _will_do(self, kept: Encoded, newest: int, not_before: float, least: int) -> bool:
        if kept.seq == newest:
            return True
        return now() - kept.made < FRESH_S and kept.began >= not_before and kept.seq >= least

    def _start(self, key: Hashable, seq: int, make: Callable[[int], Awaitable[Body]]) -> asyncio.Future[Encoded]:
        task = asyncio.ensure_future(self._make(key, seq, make))
        self._making[key] = task
        task.add_done_callback(lambda done: self._finish(key, done))
        return task

    async def _make(self, key: Hashable, seq: int, make: Callable[[int], Awaitable[Body]]) -> Encoded:
        began = now()
        body = await make(seq)
        return Encoded(seq, body, began, now())

    def _finish(self, key: Hashable, done: asyncio.Future[Encoded]) -> None:
        self._making.pop(key, None)
        if done.cancelled() or done.exception() is not None:
            return
        self._drop(key)
        self._kept[key] = done.result()
        self._bytes += _size(done.result())
        while self._bytes > self._max and len(self._kept) > 1:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Hashable) -> None:
        kept = self._kept.pop(key, None)
        self._bytes -= 0 if kept is None else _size(kept)


def _size(encoded: Encoded) -> int:
    return len(encoded.body.plain) + len(encoded.body.packed or b"")
