"""Answers: whole JSON bodies, and streams of JSON lines."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Protocol

import msgspec
from starlette.types import Receive, Send

from determined.master.api.errors import Fault, fault_of

_JSON: Final = (b"content-type", b"application/json")
_encode = msgspec.json.Encoder().encode
LINES_PER_CHUNK: Final = 500
_EMPTY: Final = (204, 304)
"""Statuses of answers without a body."""


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


class Answer(Protocol):
    """Something that can be sent as the answer to a request."""

    async def send(self, receive: Receive, send: Send) -> None:
        """Send it."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A complete body."""

    body: bytes
    content_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    status: int = 200

    async def send(self, receive: Receive, send: Send) -> None:
        """Send it with its length."""
        headers = list(self.headers)
        if self.status not in _EMPTY:
            length = (b"content-length", str(len(self.body)).encode())
            headers = [(b"content-type", self.content_type), length, *headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def json_answer(value: Any, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Whole:
    """A value as a JSON body."""
    return Whole(_encode(value), headers=headers)


async def send_fault(fault: Fault, send: Send) -> None:
    """Answer with an error."""
    body = fault.body()
    headers = [_JSON, (b"content-length", str(len(body)).encode())]
    if fault.status == 413:
        # What is left of the body will not be read.
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": fault.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@dataclass(frozen=True, slots=True)
class Stream:
    """``{"result": ...}`` lines, sent as they come; chunks end where lines end.

    An error after the start becomes the last line. When the client goes away, the source is closed.
    """

    batches: AsyncIterator[Iterable[Any]]

    async def send(self, receive: Receive, send: Send) -> None:
        """Send it until the source ends or the client goes."""
        await send({"type": "http.response.start", "status": 200, "headers": [_JSON]})
        try:
            async with Connected(receive):
                await self._send_lines(send)
        finally:
            await _closed(self.batches)
        await send({"type": "http.response.body", "body": b""})

    async def _send_lines(self, send: Send) -> None:
        try:
            async for batch in self.batches:
                lines = [b'{"result":' + _encode(item) + b"}\n" for item in batch]
                for start in range(0, len(lines), LINES_PER_CHUNK):
                    chunk = b"".join(lines[start : start + LINES_PER_CHUNK])
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except Exception as error:
            await send({"type": "http.response.body", "body": fault_of(error).line(), "more_body": True})


@dataclass(frozen=True, slots=True)
class Chunks:
    """Bytes of a file, piece by piece."""

    pieces: AsyncIterator[bytes]
    content_type: bytes
    filename: str

    async def send(self, receive: Receive, send: Send) -> None:
        """Send it."""
        disposition = f'attachment; filename="{self.filename}"'.encode()
        headers = [(b"content-type", self.content_type), (b"content-disposition", disposition)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            async with Connected(receive):
                async for piece in self.pieces:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        finally:
            await _closed(self.pieces)
        await send({"type": "http.response.body", "body": b""})


async def _closed(source: AsyncIterator[Any]) -> None:
    """Let a generator that is not read to its end release what it holds."""
    if isinstance(source, AsyncGenerator):
        await source.aclose()


class Connected:
    """Cancels what is done inside when the client goes away, and raises ``ClientGone`` then.

    The server tells of a lost connection only to somebody who listens, so a small task does while we wait.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gone = False

    async def __aenter__(self) -> None:
        self._work = asyncio.current_task()
        self._watch = asyncio.ensure_future(self._until_gone())
        self._watch.add_done_callback(self._stop_work)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.remove_done_callback(self._stop_work)
        self._watch.cancel()
        if self._gone and kind is asyncio.CancelledError:
            if sys.version_info >= (3, 11) and self._work is not None:
                self._work.uncancel()
            raise ClientGone

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            continue

    def _stop_work(self, watch: asyncio.Future[None]) -> None:
        if not watch.cancelled() and watch.exception() is None and self._work is not None:
            self._gone = True
            self._work.cancel()
