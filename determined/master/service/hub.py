"""News within the master: whoever waits for something subscribes first, then looks, then sleeps until it is told.

Topics are plain tuples, e.g. ("experiment", 5). Telling a topic that nobody listens to costs one dictionary look-up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from types import TracebackType
from typing import Final

from determined.domain.ids import ExperimentId, TrialId

MACHINES: Final = ("machines",)
"""The topic of machines that come and go."""


class Listener:
    """A subscription to some topics; a context manager."""

    def __init__(self, hub: Hub, topics: tuple[Hashable, ...]) -> None:
        self._hub = hub
        self._topics = topics
        self._event = asyncio.Event()
        self._expired = False
        self._about: set[int] = set()

    def __enter__(self) -> Listener:
        for topic in self._topics:
            self._hub.listeners.setdefault(topic, set()).add(self)
        if self._hub.closed:
            self._event.set()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for topic in self._topics:
            listeners = self._hub.listeners.get(topic)
            if listeners is not None:
                listeners.discard(self)
                if not listeners:
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

    def hear(self, about: int | None = None) -> None:
        """Be told of news."""
        if about is not None:
            self._about.add(about)
        self._event.set()

    def about(self) -> set[int]:
        """Numbers of what the news since the last call were about."""
        told, self._about = self._about, set()
        return told

    def _expire(self) -> None:
        self._expired = True
        self._event.set()


class Hub:
    """All subscriptions of the master."""

    def __init__(self) -> None:
        self.listeners: dict[Hashable, set[Listener]] = {}
        self.closed = False

    def listen(self, *topics: Hashable) -> Listener:
        """Subscribe; use as a context manager, and look at the state only inside it."""
        return Listener(self, topics)

    def tell(self, topic: Hashable, about: int | None = None) -> None:
        """Wake everybody who listens to the topic.

        Args:
            about: number of what has changed, where the topic is about many things.
        """
        for listener in self.listeners.get(topic, ()):
            listener.hear(about)

    def tell_of_log(self, experiment_id: ExperimentId, trial_id: TrialId) -> None:
        """Wake everybody who follows the log of a trial, or those of all trials of its experiment."""
        self.tell(("logs", trial_id), trial_id)
        self.tell(("logs of", experiment_id), trial_id)

    def close(self) -> None:
        """Wake everybody for good: the master is stopping."""
        self.closed = True
        for listeners in self.listeners.values():
            for listener in listeners:
                listener.hear()
