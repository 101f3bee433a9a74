"""News within the master: whoever waits for something subscribes first, then looks, then sleeps until it is told.

Topics are plain tuples, e.g. ("experiment", 5). Telling a topic that nobody listens to costs one dictionary look-up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from types import TracebackType


class Listener:
    """A subscription to some topics; a context manager."""

    def __init__(self, hub: Hub, topics: tuple[Hashable, ...]) -> None:
        self._hub = hub
        self._topics = topics
        self._event = asyncio.Event()
        self._expired = False

    def __enter__(self) -> Listener:
        for topic in self._topics:
            self._hub.listeners.setdefault(topic, set()).add(self._event)
        if self._hub.closed:
            self._event.set()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for topic in self._topics:
            events = self._hub.listeners.get(topic)
            if events is not None:
                events.discard(self._event)
                if not events:
                    del self._hub.listeners[topic]

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Sleep until there is news since the last call.

        Returns:
            False when the time ran out, or the master is stopping: answer with what there is.
        """
        if self._hub.closed:
            return False
        alarm = None if timeout_s is None else asyncio.get_running_loop().call_later(timeout_s, self._expire)
        try:
            await self._event.wait()
        finally:
            if alarm is not None:
                alarm.cancel()
        self._event.clear()
        expired, self._expired = self._expired, False
        return not expired and not self._hub.closed

    def _expire(self) -> None:
        self._expired = True
        self._event.set()


class Hub:
    """All subscriptions of the master."""

    def __init__(self) -> None:
        self.listeners: dict[Hashable, set[asyncio.Event]] = {}
        self.closed = False

    def listen(self, *topics: Hashable) -> Listener:
        """Subscribe; use as a context manager, and look at the state only inside it."""
        return Listener(self, topics)

    def tell(self, topic: Hashable) -> None:
        """Wake everybody who listens to the topic."""
        for event in self.listeners.get(topic, ()):
            event.set()

    def close(self) -> None:
        """Wake everybody for good: the master is stopping."""
        self.closed = True
        for events in self.listeners.values():
            for event in events:
                event.set()
