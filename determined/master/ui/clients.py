"""One browser that listens: what waits to be sent to it, which is never much."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

GOING_AWAY: Final = 1001
MAX_WAITING: Final = 64
"""Messages that may wait for a client; if there are more, it is told to read everything anew instead."""
_encode = msgspec.json.Encoder().encode


def message(topic: str, **fields: object) -> str:
    """A message about a topic, as it is sent to all who listen to it."""
    return _encode({"topic": topic, **fields}).decode()


def resync(topic: str, version: int | None) -> str:
    """A message that what is known of a topic must be read anew, of this version at least if there are any."""
    return message(topic, resync=True) if version is None else message(topic, resync=True, seq=version)


class Client:
    """The queue of one client. Putting something in never waits.

    Attributes:
        code: with which the connection is to be closed.
    """

    def __init__(self, topics: Sequence[str], greeting: str | None = None, most: int = MAX_WAITING) -> None:
        self.topics = tuple(topics)
        self._most = most
        # Told before all else, however much comes.
        self._greeting = greeting
        self._versions: dict[str, int] = {}
        self._waiting: deque[str] = deque()
        self._news = asyncio.Event()
        self.closed = False
        self.code = GOING_AWAY

    def put(self, topic: str, text: str, version: int | None = None) -> None:
        """Send a message, or, if the client is too far behind, tell it that it has missed some.

        Args:
            version: of what the topic is about, with the message.
        """
        if version is not None:
            self._versions[topic] = version
        if len(self._waiting) >= self._most:
            self._waiting.clear()
            self._waiting.extend(resync(topic, self._versions.get(topic)) for topic in self.topics)
        self._waiting.append(text)
        self._news.set()

    def close(self) -> None:
        """Nothing more will come."""
        self.closed = True
        self._news.set()

    def end(self, code: int) -> None:
        """Nothing more will come, not even what waits; the code tells why."""
        self._waiting.clear()
        self._greeting = None
        self.code = code
        self.close()

    async def take(self) -> str | None:
        """The next message; None when there will be none."""
        if self._greeting is not None:
            greeting, self._greeting = self._greeting, None
            return greeting
        while not self._waiting:
            if self.closed:
                return None
            await self._news.wait()
            self._news.clear()
        return self._waiting.popleft()
