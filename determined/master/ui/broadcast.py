"""All topics that somebody listens to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from determined.domain.facts import Fact
from determined.domain.ids import ExperimentId, TrialId
from determined.engine.effects import Effect
from determined.errors import Exhausted, InvalidInput, NotFound
from determined.master.service.hub import MACHINES, Hub
from determined.master.ui.channels import Channel, ClusterChannel, ExperimentChannel, ListChannel, LogChannel
from determined.master.ui.clients import Client, message
from determined.master.ui.feed import Feed

MAX_CLIENTS: Final = 256
MAX_TOPICS: Final = 32
"""Of one client."""
_LIST: Final = "experiments"
_CLUSTER: Final = "cluster"
_NUMBERED: Final = ("exp", "log", "logs")


class Broadcast:
    """Connects commits with the browsers that listen."""

    def __init__(self, feed: Feed, hub: Hub) -> None:
        self._feed = feed
        self._hub = hub
        self._clients: set[Client] = set()
        self._channels: dict[str, Channel] = {}
        self._of_experiment: dict[ExperimentId, ExperimentChannel] = {}
        self._list: ListChannel | None = None
        feed.covered_since = self._covered_since
        feed.rows.on_due = self._due

    @property
    def topics(self) -> Sequence[str]:
        """Those that somebody listens to."""
        return list(self._channels)

    async def join(self, topics: Sequence[str], greeting: str | None = None) -> Client:
        """Let a client listen; to be given back with ``leave``.

        Args:
            greeting: what it is told before all else.
        Raises:
            InvalidInput: there is no such kind of topic, or too many are named.
            Exhausted: too many listen already.
        """
        # What one topic is about may have been deleted; the page is told so, and hears of the others.
        missing = {topic for topic in topics if not await self._is_there(topic)}
        if len(topics) > MAX_TOPICS or not topics:
            raise InvalidInput(f"listen to 1 to {MAX_TOPICS} topics at a time, not to {len(topics)}")
        if len(self._clients) >= MAX_CLIENTS:
            raise Exhausted(f"{MAX_CLIENTS} pages listen already; close some of them")
        client = Client(sorted(set(topics)), greeting)
        self._clients.add(client)
        for topic in client.topics:
            if topic in missing:
                client.put(topic, message(topic, removed=True))
                continue
            if topic not in self._channels:
                self._open(topic)
            self._channels[topic].add(client)
        return client

    def leave(self, client: Client) -> None:
        """The client listens no more; topics that nobody else listens to end."""
        self._clients.discard(client)
        for topic in client.topics:
            channel = self._channels.get(topic)
            if channel is None:
                continue
            channel.clients.discard(client)
            if not channel.clients:
                self._close(topic, channel)

    def close(self) -> None:
        """The master stops."""
        for topic, channel in list(self._channels.items()):
            self._close(topic, channel)
        for client in self._clients:
            client.close()

    async def _is_there(self, topic: str) -> bool:
        if topic in (_LIST, _CLUSTER):
            return True
        kind, _, number = topic.partition(":")
        if kind not in _NUMBERED or not number.isascii() or not number.isdecimal() or not 1 <= int(number) < 2**31:
            raise InvalidInput(
                f"there is no topic {topic[:40]!a} (allowed: experiments, cluster, exp:ID, log:TRIAL, logs:ID)"
            )
        try:
            if kind == "log":
                await self._feed.store.get_trial(TrialId(int(number)))
            else:
                await self._feed.store.get_experiment(ExperimentId(int(number)))
        except NotFound:
            return False
        return True

    def _open(self, topic: str) -> None:
        kind, _, number = topic.partition(":")
        channel: Channel
        if topic == _LIST:
            channel = self._list = ListChannel(topic, self._feed)
        elif topic == _CLUSTER:
            channel = ClusterChannel(topic, self._hub.listen(MACHINES))
        elif kind == "exp":
            experiment_id = ExperimentId(int(number))
            channel = self._of_experiment[experiment_id] = ExperimentChannel(topic, self._feed, experiment_id)
        else:
            logs = ("logs", TrialId(int(number))) if kind == "log" else ("logs of", ExperimentId(int(number)))
            channel = LogChannel(topic, self._feed, self._hub.listen(logs))
        self._channels[topic] = channel
        self._listen()

    def _close(self, topic: str, channel: Channel) -> None:
        channel.close()
        del self._channels[topic]
        if channel is self._list:
            self._list = None
        elif isinstance(channel, ExperimentChannel):
            del self._of_experiment[channel.experiment_id]
        self._listen()

    def _listen(self) -> None:
        """Hear of commits, if somebody wants to know."""
        self._feed.commits.witness = self._note if self._list is not None or self._of_experiment else None

    def _note(self, experiment_id: ExperimentId, fact: Fact | None, effects: Sequence[Effect]) -> None:
        if self._list is not None:
            self._list.note(experiment_id)
        channel = self._of_experiment.get(experiment_id)
        if channel is not None:
            channel.note(fact, effects)

    def _due(self, experiment_id: ExperimentId) -> None:
        """A row that was shown can be better now."""
        if self._list is not None:
            self._list.note(experiment_id)
        channel = self._of_experiment.get(experiment_id)
        if channel is not None:
            channel.look()

    def _covered_since(self, experiment_id: ExperimentId) -> float | None:
        channel = self._of_experiment.get(experiment_id)
        return None if channel is None else channel.covered_since
