"""Topics that browsers listen to. Each has one task, which makes each message once for all who listen.

Nothing is done for a topic that nobody listens to: commits then tell nobody, and there is no task.
"""

from __future__ import annotations

import abc
import asyncio
import logging
from collections import deque
from collections.abc import Collection, Sequence
from typing import Final

from determined.domain import facts
from determined.domain.facts import Fact
from determined.domain.ids import ExperimentId
from determined.engine.effects import Effect
from determined.errors import NotFound
from determined.master.service.hub import Listener
from determined.master.ui.clients import Client, message, resync
from determined.master.ui.encodings import now
from determined.master.ui.feed import Feed
from determined.master.ui.lengths import units_per_batch
from determined.master.ui.trial_columns import trial_columns
from determined.storage.protocol import ExperimentFilter, Order, Page, SearcherPoint
from determined.wire.logs import level_name
from determined.wire.ui import with_details

log = logging.getLogger("determined.master")

BATCH_S: Final = 0.1
"""Least time between two messages about a topic."""
REST: Final = 4
"""Times as long as a message took to make nothing is done for its topic, so that large ones come more rarely ..."""
LONGEST_REST_S: Final = 0.5
"""... but no longer than this: a message may also have waited for a disk, or for a machine that has much to do."""
MAX_CHANGED: Final = 2_000
"""Trials in one message; if more have changed, the client reads all of them anew."""
MAX_DECISIONS: Final = 20
MAX_REMEMBERED: Final = 16
MAX_LINES: Final = 500
MAX_LINE: Final = 8_192


class Channel(abc.ABC):
    """One topic, and those who listen to it.

    Attributes:
        covered_since: time from which on every change is in a message that a new client gets.
        version: that the newest message leads to, where there are any.
    """

    version: int | None = None

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.clients: set[Client] = set()
        self.news = asyncio.Event()
        self.covered_since = now()
        self._recent: deque[tuple[float, str]] = deque()
        self._task = asyncio.ensure_future(self._run())

    def add(self, client: Client) -> None:
        """Let somebody listen, from the messages on that large answers may lack."""
        self.clients.add(client)
        for _, text in self._recent:
            client.put(self.topic, text, self.version)

    def close(self) -> None:
        """Stop."""
        self._task.cancel()

    async def _run(self) -> None:
        try:
            await self.begin()
            while True:
                await self.wait()
                began = now()
                try:
                    text = await self.next()
                except Exception:
                    # Who listens must not stay behind without knowing.
                    log.exception("the web UI's topic %s is read anew", self.topic)
                    text = resync(self.topic, self.version)
                if text is not None:
                    self._tell(text)
                # Nobody sees changes that follow each other faster, and a busy search commits thousands a second.
                await asyncio.sleep(max(BATCH_S, min(LONGEST_REST_S, REST * (now() - began))))
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("the web UI's topic %s cannot be served", self.topic)
            for client in self.clients:
                client.close()

    def _tell(self, text: str) -> None:
        if len(self._recent) >= MAX_REMEMBERED:
            self.covered_since, _ = self._recent.popleft()
        self._recent.append((now(), text))
        for client in self.clients:
            client.put(self.topic, text, self.version)

    async def begin(self) -> None:  # noqa: B027  # not every topic has a past
        """Look where things stand."""

    async def wait(self) -> None:
        """Sleep until something has changed."""
        await self.news.wait()
        self.news.clear()

    @abc.abstractmethod
    async def next(self) -> str | None:
        """The message about what has changed; None for nothing."""


class ExperimentChannel(Channel):
    """``exp:ID``: one experiment with its changed trials, new points of curves, and newest decisions.

    Each message names the version that it leads to, and the one that the message before led to: who has read an older
    one has missed something.
    """

    def __init__(self, topic: str, feed: Feed, experiment_id: ExperimentId) -> None:
        self._feed = feed
        self.experiment_id = experiment_id
        self._changed: set[int] = set()
        self._reported: set[int] = set()
        self._last_report = self._settled = 0
        self._told_reports: set[int] = set()
        self._last_entry: int | None = None
        self._is_edited = False
        self.version = 0
        super().__init__(topic)

    async def begin(self) -> None:
        """From which report on points are new, and which version a client must have read at least."""
        self._last_report = self._settled = await self._feed.store.last_report()
        self.version = await self._feed.commits.version(self.experiment_id)
        self._tell(message(self.topic, since=self.version, seq=self.version))

    def note(self, fact: Fact | None, effects: Sequence[Effect]) -> None:
        """Something has changed."""
        for cause in (fact, *effects):
            trial_id = getattr(cause, "trial_id", None)
            if trial_id is not None:
                self._changed.add(trial_id)
        if isinstance(fact, facts.MetricsReported):
            self._reported.add(fact.trial_id)
        self._is_edited |= fact is None
        self.news.set()

    def look(self) -> None:
        """Nothing has changed, but the row may say more than it did."""
        self.news.set()

    async def next(self) -> str | None:
        """What has changed since the last message."""
        feed = self._feed
        # The version comes first: what is noted after it will be in a message of a higher one.
        seq = await feed.commits.version(self.experiment_id)
        changed, self._changed = self._changed, set()
        reported, self._reported = self._reported, set()
        edited, self._is_edited = self._is_edited, False
        since, self.version = self.version, seq
        if len(changed) > MAX_CHANGED:
            return resync(self.topic, seq)
        try:
            experiment = await feed.store.get_experiment(self.experiment_id)
        except NotFound:
            return message(self.topic, since=since, seq=seq, removed=True)
        [row] = await feed.rows.of([experiment])
        shape = feed.rows.shape(experiment)
        fields: dict[str, object] = {"experiment": with_details(row, message=experiment.message)}
        if edited:
            fields["edited"] = True
        if changed:
            rows = await feed.store.trial_rows(self.experiment_id, sorted(changed))
            invalid = await feed.invalid(self.experiment_id)
            fields["trials"] = trial_columns(rows, shape.unit, await feed.rows.longest(experiment), invalid)
            if reported:
                scales = {r.id: units_per_batch(r, shape.unit) for r in rows}
                points = await self._new_points(reported)
                fields["points"] = [[p.trial_id, p.steps * scales[p.trial_id], p.metric] for p in points]
        if feed.known_log(self.experiment_id):
            # Of many only the newest are told; from their numbers and from that of all a page knows what it lacks.
            news = await feed.news_of_log(experiment, self._last_entry, MAX_DECISIONS)
            self._last_entry, fields["last"], fields["decisions"] = news
            fields["entries"] = self._last_entry
        return message(self.topic, since=since, seq=seq, **fields)

    async def _new_points(self, trials: Collection[int]) -> list[SearcherPoint]:
        """Points of these trials that were not told yet.

        While they are read, a trial that is not one of these may report, and be followed by one that is. So the first
        of two messages does not settle up to which report all are told; the second does, as each is noted at once.
        """
        found = await self._feed.store.searcher_points(sorted(trials), self._settled)
        points = [p for p in found if p.report_id not in self._told_reports]
        self._settled, self._last_report = self._last_report, max([self._last_report, *(p.report_id for p in points)])
        self._told_reports = {n for n in self._told_reports if n > self._settled} | {p.report_id for p in points}
        return points


class ListChannel(Channel):
    """``experiments``: rows of experiments that have changed."""

    def __init__(self, topic: str, feed: Feed) -> None:
        self._feed = feed
        self._changed: set[int] = set()
        super().__init__(topic)

    def note(self, experiment_id: ExperimentId) -> None:
        """Something of it has changed."""
        self._changed.add(experiment_id)
        self.news.set()

    async def next(self) -> str | None:
        """The rows of what has changed, and the ids of what is gone."""
        changed, self._changed = self._changed, set()
        if len(changed) > MAX_CHANGED:
            return message(self.topic, resync=True)
        found = await self._feed.store.list_experiments(ExperimentFilter(ids=tuple(changed)), Order(), Page())
        rows = await self._feed.rows.of(found.rows)
        gone = sorted(changed - {row.id for row in rows})
        return message(self.topic, experiments=rows, removed=gone)


class ClusterChannel(Channel):
    """``cluster``: machines came or went; which ones there are is read anew."""

    def __init__(self, topic: str, listener: Listener) -> None:
        self._listener = listener
        self._listener.__enter__()
        super().__init__(topic)

    def close(self) -> None:
        """Stop."""
        self._listener.__exit__(None, None, None)
        super().close()

    async def wait(self) -> None:
        """Sleep until there are others."""
        await self._listener.wait()

    async def next(self) -> str | None:
        """That there are others."""
        return message(self.topic)


class LogChannel(Channel):
    """``log:TRIAL`` and ``logs:EXPERIMENT``: new lines of the log of a trial, or of all trials of an experiment.

    Lines of all logs are numbered in the order in which they were stored, and a trial may log after its end. Each
    message names the newest line that was told with it, and the newest before: who has read up to an older one has
    missed some.
    """

    def __init__(self, topic: str, feed: Feed, listener: Listener) -> None:
        self._store = feed.store
        self._settled = 0
        self._told: set[int] = set()
        self._listener = listener
        self._listener.__enter__()
        self.version = 0
        super().__init__(topic)

    def close(self) -> None:
        """Stop."""
        self._listener.__exit__(None, None, None)
        super().close()

    async def begin(self) -> None:
        """New lines are those behind the last one that is there now."""
        self.version = self._settled = await self._store.last_line()
        self._told.clear()
        self._tell(message(self.topic, since=self.version, seq=self.version, lines=[]))

    async def wait(self) -> None:
        """Sleep until there are lines."""
        await self._listener.wait()

    async def next(self) -> str | None:
        """The next lines; the last of very many."""
        trials = sorted(self._listener.about())
        read = await self._store.new_lines(trials, self._settled, MAX_LINES + 1 + len(self._told))
        found = [line for line in read if line.id not in self._told]
        if len(found) > MAX_LINES:
            self.version = self._settled = await self._store.last_line()
            self._told.clear()
            return resync(self.topic, self.version)
        if not found:
            return None
        # While these were read, another trial may have logged, and then one of these. So it is the message after this
        # one that settles up to which line all are told: by then, whatever was stored before was noted.
        since = self._settled = self.version or 0
        self.version = max(since, found[-1].id)
        self._told = {n for n in self._told if n > self._settled} | {line.id for line in found}
        lines = [
            {"trial": r.trial_id, "id": r.id, "time": r.at, "level": level_name(r.level), "text": r.text[:MAX_LINE]}
            for r in found
        ]
        return message(self.topic, since=since, seq=self.version, lines=lines)
