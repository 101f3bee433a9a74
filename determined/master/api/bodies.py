"""Reads the bodies of requests within bounds."""

from __future__ import annotations

from typing import Final

from starlette.types import Receive, Scope

from determined.errors import Exhausted, InvalidInput, TooLarge
from determined.master.api.sending import ClientGone

MIB: Final = 1 << 20
MAX_BODY: Final = 32 * MIB
MAX_EXPERIMENT_BODY: Final = 128 * MIB
MAX_BODIES_IN_MEMORY: Final = 1024 * MIB
"""Of all requests that are being read or handled; a request that would pass it is refused for now."""


class Bodies:
    """Keeps count of what all requests together hold in memory."""

    def __init__(self, limit: int = MAX_BODIES_IN_MEMORY) -> None:
        self._limit = limit
        self._held = 0

    async def read(self, scope: Scope, receive: Receive, limit: int) -> bytes:
        """The whole body; to be given back with ``release``.

        Raises:
            TooLarge: it has more bytes than ``limit``.
            Exhausted: the requests at work hold too much already.
            InvalidInput: it is compressed, or says a length that is none.
            ClientGone: the client went away before its end.
        """
        announced = _announced(scope)
        if announced == 0:
            return b""
        if announced is not None and announced > limit:
            raise _too_large(announced, limit)
        chunks: list[bytes] = []
        size = 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                chunk = message.get("body", b"")
                size += len(chunk)
                self._take(len(chunk))
                if size > limit:
                    raise _too_large(size, limit)
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        except BaseException:
            self.release(size)
            raise

    def release(self, size: int) -> None:
        """A body of this size is done with."""
        self._held -= size

    def _take(self, size: int) -> None:
        self._held += size
        if self._held > self._limit:
            raise Exhausted("too many large requests at once; try again in a few seconds")


def _announced(scope: Scope) -> int | None:
    """The length that the request announces, if it does."""
    length: int | None = None
    for name, value in scope["headers"]:
        if name == b"content-length":
            if not value.isdigit() or len(value) > 18:
                raise InvalidInput(f"the content length {value[:40]!r} is no number")
            length = int(value)
        elif name == b"content-encoding" and value.lower() not in (b"", b"identity"):
            raise InvalidInput(f"bodies in the encoding {value[:40]!r} are not read; send them as they are")
    return length


def _too_large(size: int, limit: int) -> TooLarge:
    advice = "leave out large files, for example through .detignore" if limit > MAX_BODY else "send less at once"
    return TooLarge(f"the body has {size} bytes or more (allowed: {limit}); {advice}")
