"""Answers leave in one piece: the server writes the head and the body of each apart, and each time costs the same.

The one who waits is woken once, too, and not by the head already.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD = b"HTTP/1."
_MOST_JOINED = 1 << 16
"""Bytes of a body that are copied for it; what is larger is sent in several pieces anyhow."""


class Gathering:
    """A transport that holds the head of an answer until the body comes, or until this round of the loop is over."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send, soon at the latest."""
        if self._head and len(data) <= _MOST_JOINED:
            data, self._head = self._head + data, b""
        elif not self._head and data.startswith(_HEAD):
            self._head = data
            self._loop.call_soon(self._send_head)
            return
        else:
            self._send_head()
        self._transport.write(data)

    def close(self) -> None:
        """Send what is left, and close."""
        self._send_head()
        self._transport.close()

    def _send_head(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)


class GatheringProtocol(HttpToolsProtocol):
    """The server's side of a connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Use it through a gathering one."""
        super().connection_made(transport)
        self.transport = cast("asyncio.Transport", Gathering(transport, self.loop))
