"""What the routes of the web UI ask for: read, and encoded off the event loop, one piece of work at a time."""

from __future__ import annotations

import asyncio
import gzip
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, ParamSpec, TypeVar

import msgspec

from determined.domain.ids import ExperimentId, TrialId
from determined.domain.records import EventRow, Experiment
from determined.errors import CorruptState
from determined.master.service.commit import Commits
from determined.master.ui import curves
from determined.master.ui.decision_words import described
from determined.master.ui.encodings import Body, Encoded, Encodings
from determined.master.ui.rows import Rows
from determined.master.ui.search_log import KINDS, Entry, SearchLog
from determined.master.ui.trial_columns import trial_columns
from determined.master.ui.trial_metrics import trial_metrics
from determined.storage.protocol import Store

P = ParamSpec("P")
R = TypeVar("R")
Json = Mapping[str, Any]

MAX_LOGS: Final = 4
"""Searches whose log is kept; those that were asked about last. One of 10,000 trials takes about 10 MB."""
FACTS_AT_ONCE: Final = 1_000
PACKED_FROM: Final = 1_000
LEVEL: Final = 6
"""Of gzip; each answer is packed once for everybody, off the event loop."""
_encode = msgspec.json.Encoder().encode


class Feed:
    """Reads for the web UI.

    Attributes:
        rows: experiments as rows of a list.
        covered_since: for an experiment, since when every change has been or will be told to those who listen to it;
            None when nobody does.
    """

    def __init__(self, commits: Commits, store: Store) -> None:
        self.commits = commits
        self.store = store
        self.rows = Rows(commits, store)
        self.encodings = Encodings()
        self.covered_since: Callable[[ExperimentId], float | None] = lambda experiment_id: None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="determined-ui")
        self._logs: OrderedDict[ExperimentId, tuple[SearchLog, asyncio.Lock]] = OrderedDict()
        self._invalid: OrderedDict[ExperimentId, tuple[int, frozenset[int]]] = OrderedDict()

    def close(self) -> None:
        """Let the thread end."""
        self.rows.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def work(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of something that takes long; such things are done one after the other, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args, **kwargs))

    async def version(self, experiment_id: ExperimentId) -> int:
        """A number that grows with each change of an experiment."""
        return await self.commits.version(experiment_id)

    # Large answers

    async def trials(self, experiment: Experiment, fold: bool = False, least: int = 0) -> Encoded:
        """All trials, column by column; folded, they are smaller, for a page that knows how to read them.

        Args:
            least: version that somebody has heard of, which must be in it; the same in what follows.
        """

        async def make(seq: int) -> Body:
            rows = await self.store.trial_rows(experiment.id)
            invalid = await self.invalid(experiment.id)
            unit, longest = self.rows.shape(experiment).unit, await self.rows.longest(experiment)

            def encode() -> Body:
                return _packed(_encode({"seq": seq, **trial_columns(rows, unit, longest, invalid, fold=fold)}))

            return await self.work(encode)

        return await self._encoded(experiment.id, ("trials", experiment.id, fold), make, least)

    async def curves(self, experiment: Experiment, limit: int, points: int, least: int = 0) -> Encoded:
        """The learning curves of at most ``limit`` trials, with at most ``points`` points each."""

        async def make(seq: int) -> Body:
            rows = await self.store.trial_rows(experiment.id)
            choice = await self.work(curves.choose, rows, limit, experiment.smaller_is_better)
            found = await self.store.searcher_points([row.id for row in choice.rows])
            unit = self.rows.shape(experiment).unit

            def encode() -> Body:
                headers = ((b"x-curves-sampling", choice.said.encode()),) if choice.said else ()
                return _packed(curves.packed(seq, len(rows), choice, found, points, unit), headers)

            return await self.work(encode)

        return await self._encoded(experiment.id, ("curves", experiment.id, limit, points), make, least)

    async def rungs(self, experiment: Experiment, event: int | None, limit: int | None, least: int = 0) -> Encoded:
        """The ladder as it was when an event had been answered, None for the newest; ``limit``: results of a rung."""

        async def make(seq: int) -> Body:
            log = await self.search_log(experiment.id)

            def encode() -> Body:
                return _packed(_encode(log.rungs(event, experiment.smaller_is_better, limit)))

            return await self.work(encode)

        return await self._encoded(experiment.id, ("rungs", experiment.id, event, limit), make, least)

    async def _encoded(
        self, experiment_id: ExperimentId, key: tuple[Any, ...], make: Callable[[int], Awaitable[Body]], least: int
    ) -> Encoded:
        covered = self.covered_since(experiment_id)
        not_before = float("-inf") if covered is None else covered
        return await self.encodings.get(key, lambda: self.commits.version(experiment_id), make, not_before, least)

    async def metrics(self, trial_id: TrialId) -> Body:
        """Everything that a trial reported."""
        trial = await self.store.get_trial(trial_id)
        experiment = await self.store.get_experiment(trial.experiment_id)
        [row] = await self.store.trial_rows(trial.experiment_id, [trial_id])
        reports = await self.store.list_trial_metrics(trial_id)
        unit = self.rows.shape(experiment).unit
        return await self.work(lambda: _packed(_encode(trial_metrics(reports, row, unit))))

    async def invalid(self, experiment_id: ExperimentId) -> frozenset[int]:
        """Trials that said that their hyperparameters are invalid; only facts that are new since then are read."""
        after, known = self._invalid.pop(experiment_id, (0, frozenset()))
        end = await self.commits.version(experiment_id)
        rows = await self.store.read_journal(experiment_id, after, FACTS_AT_ONCE, ["early_exit_reported"])
        while rows:
            known |= {msgspec.json.decode(row.body, type=_OfTrial).trial_id for row in rows}
            after = rows[-1].seq
            if len(rows) < FACTS_AT_ONCE:
                break
            rows = await self.store.read_journal(experiment_id, after, FACTS_AT_ONCE, ["early_exit_reported"])
        # Edits count in the version and are no facts, so this may lie ahead of the journal by them.
        self._invalid[experiment_id] = (max(after, end - self.commits.edits[experiment_id]), known)
        while len(self._invalid) > MAX_LOGS:
            self._invalid.popitem(last=False)
        return known

    # What a search decided

    async def search_log(self, experiment_id: ExperimentId) -> SearchLog:
        """The log of a search, up to date."""
        log, lock = self._logs.setdefault(experiment_id, (SearchLog(), asyncio.Lock()))
        self._logs.move_to_end(experiment_id)
        while len(self._logs) > MAX_LOGS:
            self._logs.popitem(last=False)
        async with lock:
            try:
                await self._catch_up(experiment_id, log)
            except BaseException:
                # It may have taken in half of something.
                self._logs.pop(experiment_id, None)
                raise
        return log

    def known_log(self, experiment_id: ExperimentId) -> bool:
        """Whether the log of a search is kept, so that keeping up with it is cheap."""
        return experiment_id in self._logs

    async def _catch_up(self, experiment_id: ExperimentId, log: SearchLog) -> None:
        while rows := await self.store.read_journal(experiment_id, log.seq, FACTS_AT_ONCE, KINDS):
            batches = await self.work(log.read, rows)
            events: list[EventRow] = []
            while (heard := events[-1].id if events else log.heard) < log.answered:
                missing = log.answered - heard
                found = await self.store.read_events(experiment_id, heard, min(missing, FACTS_AT_ONCE))
                if not found:
                    raise CorruptState(f"experiment {experiment_id}: event {heard + 1} is missing from the store")
                events += found
            await self.work(log.take, batches, events)

    async def decisions(
        self, experiment: Experiment, limit: int, before: int | None, after: int, trial: int | None
    ) -> Json:
        """Events with what the search method said to them, newest first."""
        seq = await self.commits.version(experiment.id)
        log = await self.search_log(experiment.id)
        number, last, entries = await self.work(lambda: (len(log), log.heard, log.newest(limit, before, after, trial)))
        shown = await self.describe(experiment, log, entries, trial)
        return {"seq": seq, "last": last, "entries": number, "decisions": shown}

    async def news_of_log(self, experiment: Experiment, after: int | None, limit: int) -> tuple[int, int, list[Json]]:
        """Number of entries of a log, its last event, and what is from ``after`` on in words, newest first.

        There is nothing behind None.
        """
        log = await self.search_log(experiment.id)
        number, last, entries = await self.work(
            lambda: (len(log), log.heard, [] if after is None else log.since(after)[:limit])
        )
        return number, last, await self.describe(experiment, log, entries)

    async def describe(
        self, experiment: Experiment, log: SearchLog, entries: list[Entry], trial: int | None = None
    ) -> list[Json]:
        """Entries of a log in words; what is about a trial, if one is named, comes first in each."""
        seqs = {seq for entry in entries for seq in (entry.cause_seq, entry.batch_seq) if seq}
        facts = await self.store.get_journal(experiment.id, sorted(seqs))
        events = await self.store.get_events(experiment.id, sorted({entry.event for entry in entries}))
        return await self.work(described, log, entries, facts, events, self.rows.shape(experiment).unit, trial)


class _OfTrial(msgspec.Struct, frozen=True):
    trial_id: int


def _packed(plain: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Body:
    return Body(plain, gzip.compress(plain, LEVEL, mtime=0) if len(plain) >= PACKED_FROM else None, headers)
