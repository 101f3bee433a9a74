"""The durable store: SQLAlchemy Core over SQLite or PostgreSQL; one writes at a time, a few read."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from determined import files
from determined.domain.ids import ExperimentId, TrialId, UserId
from determined.domain.records import EventRow, Experiment, JournalRow, LogRecord, Metrics, Run, Token, Trial, User
from determined.domain.states import CheckpointState, ExperimentState, TrialState
from determined.errors import InvalidInput
from determined.storage import select_checkpoints, select_columns, select_experiments, select_trials
from determined.storage.backend import backend_for
from determined.storage.faults import store_closed
from determined.storage.protocol import (
    CheckpointView,
    EngineState,
    ExperimentFilter,
    Listing,
    LogFilter,
    Mutation,
    Order,
    Page,
    SearcherPoint,
    Tally,
    TallyQuery,
    TrialRow,
)
from determined.storage.schema import bring_up_to_date
from determined.storage.sql_apply import PutMeta
from determined.storage.waits import Backoff
from determined.storage.writer import Writer

P = ParamSpec("P")
R = TypeVar("R")

READERS: Final = 4
"""Threads, and connections, that answer queries."""


class SqlStore:
    """Implements ``Store`` on a database.

    Args:
        url: ``sqlite:////folder/master.db``, whose file is made when it is not there, or
            ``postgresql://user:password@host/database``, which must be there.

    Attributes:
        lost: resolves with a sentence when another process has become the writer; then nothing can be written any more.

    Raises:
        InvalidInput: no database that is supported.
    """

    def __init__(self, url: str) -> None:
        self._backend: Final = backend_for(url)
        self._pool: ThreadPoolExecutor | None = None
        self._writer: Writer | None = None
        self._engines: list[Engine] = []
        self._closing = threading.Event()
        self.lost: asyncio.Future[str]

    async def open(self) -> None:
        """Bring the schema up to date and become the only writer.

        Raises:
            StorageFailed: the database cannot be opened.
            CorruptState: it is damaged, of a newer version, or of another program.
            FailedPrecondition: another process is the writer.
        """
        loop = asyncio.get_running_loop()
        self.lost = lost = loop.create_future()
        self._claim = self._backend.claim(lambda why: _tell(loop, lost, why))
        self._closing.clear()
        engine = await asyncio.to_thread(self._prepare)
        readers = self._backend.readers(READERS)
        self._engines = [engine, readers]
        self._readers = readers
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="determined-read")
        self._writer = Writer(self._backend, engine, self._claim)

    def _prepare(self) -> Engine:
        self._claim.take()
        engine: Engine | None = None
        try:
            engine = self._backend.writer()
            with files.action("store.migrate"), engine.begin() as conn:
                self._backend.prepare(conn)
                bring_up_to_date(conn)
                self._claim.enter(conn)
        except BaseException as error:
            if engine is not None:
                engine.dispose()
            self._claim.release()
            if isinstance(error, DBAPIError):
                raise self._backend.unopened(error) from error
            raise
        return engine

    async def close(self) -> None:
        """Write what was submitted, and release everything. Repeating it changes nothing."""
        writer, pool = self._writer, self._pool
        if writer is None or pool is None:
            return
        self._writer = self._pool = None
        self._closing.set()
        writer.stop()
        if not await asyncio.to_thread(writer.join, self._backend.close_within_s):
            self._backend.cut()
            await asyncio.to_thread(writer.join)
        await asyncio.to_thread(pool.shutdown)
        for engine in reversed(self._engines):
            engine.dispose()
        await asyncio.to_thread(self._claim.release)

    def write(self, unit: Sequence[Mutation], lane: int | None = None) -> asyncio.Future[None]:
        """See ``Store.write``."""
        return self._submit(unit, lane)

    def _submit(self, unit: Sequence[Mutation | PutMeta], lane: int | None) -> asyncio.Future[None]:
        if self._writer is not None:
            return self._writer.submit(unit, lane)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_exception(store_closed())
        return future

    def reopen_lane(self, lane: int) -> None:
        """See ``Store.reopen_lane``."""
        if self._writer is not None:
            self._writer.reopen(lane)

    async def _read(self, query: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        def run() -> R:
            backoff = Backoff(self._closing)
            while True:
                try:
                    with self._readers.connect() as conn:
                        return query(conn, *args, **kwargs)
                except (OverflowError, UnicodeError) as error:
                    raise InvalidInput(f"a value of the query is nothing that can be stored: {error}") from error
                except DBAPIError as error:
                    # Connections of before are dead, which is found out one by one; a new one may be as good as ever.
                    if not self._backend.is_lost(error) or backoff.wait():
                        raise self._backend.unread(error) from error

        if self._pool is None:
            raise store_closed()
        return await asyncio.get_running_loop().run_in_executor(self._pool, run)

    # Identity and counters
    async def get_meta(self, key: str, default: str) -> str:
        """The value of a key; stores and returns ``default`` the first time."""
        found = await self._read(select_experiments.get_meta, key)
        if found is None:
            await self._submit([PutMeta(key, default)], None)
            found = await self._read(select_experiments.get_meta, key)
        return default if found is None else found

    async def next_ids(self) -> tuple[int, int, int]:
        """The next unused experiment id, trial id and user id."""
        return await self._read(select_experiments.next_ids)

    # Users
    async def find_user(self, username: str) -> User | None:
        """The user of that name."""
        return await self._read(select_experiments.find_user, username)

    async def get_user(self, user_id: UserId) -> User:
        """The user with that id."""
        return await self._read(select_experiments.get_user, user_id)

    async def list_users(self) -> Sequence[User]:
        """Every user, by id."""
        return await self._read(select_experiments.list_users)

    async def find_token(self, digest: str) -> Token | None:
        """The login with that digest."""
        return await self._read(select_experiments.find_token, digest)

    # Experiments
    async def get_experiment(self, experiment_id: ExperimentId) -> Experiment:
        """The experiment with that id."""
        return await self._read(select_experiments.get_experiment, experiment_id)

    async def find_by_client_key(self, owner_id: UserId, client_key: str) -> Experiment | None:
        """The experiment that its owner submitted under this key."""
        return await self._read(select_experiments.find_by_client_key, owner_id, client_key)

    async def list_experiments(self, where: ExperimentFilter, order: Order, page: Page) -> Listing:
        """One page of the experiments that match."""
        return await self._read(select_experiments.list_experiments, where, order, page)

    async def count_states(self, where: ExperimentFilter) -> Mapping[ExperimentState, int]:
        """How many experiments of each state match."""
        return await self._read(select_columns.count_states, where)

    async def list_unfinished(self) -> Sequence[Experiment]:
        """Experiments with something left to do: those that go on, are being deleted or are uncollected; by id."""
        return await self._read(select_experiments.list_unfinished)

    async def load_engine(self, experiment_id: ExperimentId) -> EngineState:
        """The parts of the snapshot, and the journal after the newest of them."""
        return await self._read(select_experiments.load_engine, experiment_id)

    async def find_state(self, experiment_id: ExperimentId, part: str) -> bytes | None:
        """What is stored of one part."""
        return await self._read(select_experiments.find_state, experiment_id, part)

    async def read_journal(
        self, experiment_id: ExperimentId, after: int, limit: int, kinds: Sequence[str] = ()
    ) -> Sequence[JournalRow]:
        """Facts with a sequence number above ``after``, in order; of all kinds if none is named."""
        return await self._read(select_experiments.read_journal, experiment_id, after, limit, kinds)

    async def get_journal(self, experiment_id: ExperimentId, seqs: Sequence[int]) -> Sequence[JournalRow]:
        """Those of the numbered facts that exist, in order."""
        return await self._read(select_columns.get_journal, experiment_id, seqs)

    async def journal_end(self, experiment_id: ExperimentId) -> int:
        """Sequence number of the newest fact; 0 for none."""
        return await self._read(select_columns.journal_end, experiment_id)

    # The queue
    async def read_events(self, experiment_id: ExperimentId, after: int, limit: int) -> Sequence[EventRow]:
        """Events with an id above ``after``, in order."""
        return await self._read(select_experiments.read_events, experiment_id, after, limit)

    async def get_events(self, experiment_id: ExperimentId, ids: Sequence[int]) -> Sequence[EventRow]:
        """Those of the numbered events that exist, in order."""
        return await self._read(select_columns.get_events, experiment_id, ids)

    async def find_batch(self, experiment_id: ExperimentId, trigger: int) -> str | None:
        """Digest of what was posted in answer to this event."""
        return await self._read(select_experiments.find_batch, experiment_id, trigger)

    # Trials
    async def get_trial(self, trial_id: TrialId) -> Trial:
        """The trial with that id."""
        return await self._read(select_trials.get_trial, trial_id)

    async def list_trials(
        self, experiment_id: ExperimentId, states: Sequence[TrialState], order: Order, page: Page
    ) -> Listing:
        """One page of an experiment's trials."""
        return await self._read(select_trials.list_trials, experiment_id, states, order, page)

    async def trial_ids(self, experiment_id: ExperimentId) -> Sequence[int]:
        """Ids of an experiment's trials, ascending."""
        return await self._read(select_trials.trial_ids, experiment_id)

    async def trial_rows(
        self, experiment_id: ExperimentId, trial_ids: Sequence[int] | None = None
    ) -> Sequence[TrialRow]:
        """An experiment's trials by id: all, or those named."""
        return await self._read(select_columns.trial_rows, experiment_id, trial_ids)

    async def tallies(self, wanted: Sequence[TallyQuery]) -> Sequence[Tally]:
        """The trials of each of some experiments, counted."""
        return await self._read(select_columns.tallies, wanted)

    async def list_runs(self, trial_id: TrialId) -> Sequence[Run]:
        """A trial's runs, by run id."""
        return await self._read(select_trials.list_runs, trial_id)

    async def find_run(self, allocation_id: str) -> Run | None:
        """The run of that name."""
        return await self._read(select_trials.find_run, allocation_id)

    # Metrics and checkpoints
    async def get_metrics(self, ids: Sequence[int]) -> Mapping[int, Metrics]:
        """Those of the named reports that exist."""
        return await self._read(select_trials.get_metrics, ids)

    async def list_metrics(
        self, trial_ids: Sequence[TrialId], groups: Sequence[str], after_id: int, limit: int
    ) -> Sequence[Metrics]:
        """Live and archived reports by id; no groups means all."""
        return await self._read(select_trials.list_metrics, trial_ids, groups, after_id, limit)

    async def list_trial_metrics(self, trial_id: TrialId) -> Sequence[Metrics]:
        """Live reports of a trial, by (steps, time, id)."""
        return await self._read(select_trials.list_trial_metrics, trial_id)

    async def searcher_points(self, trial_ids: Sequence[int], after_id: int = 0) -> Sequence[SearcherPoint]:
        """The searched metric in live validations of some trials, where it is finite, by (trial, steps, id)."""
        return await self._read(select_columns.searcher_points, trial_ids, after_id)

    async def last_report(self) -> int:
        """The largest id of a report of metrics; 0 for none."""
        return await self._read(select_columns.last_report)

    async def get_checkpoint(self, uuid: str) -> CheckpointView:
        """A checkpoint with its reports."""
        return await self._read(select_checkpoints.get_checkpoint, uuid)

    async def list_checkpoints(
        self,
        experiment_id: ExperimentId | None,
        trial_id: TrialId | None,
        states: Sequence[CheckpointState],
        order: Order,
        page: Page,
    ) -> Listing:
        """One page of checkpoints."""
        return await self._read(select_checkpoints.list_checkpoints, experiment_id, trial_id, states, order, page)

    async def best_checkpoints(self, trial_ids: Sequence[TrialId]) -> Mapping[int, CheckpointView]:
        """For each trial its COMPLETED checkpoint with the best searcher metric at the same steps."""
        return await self._read(select_checkpoints.best_checkpoints, trial_ids)

    async def warm_starts(self, uuids: Sequence[str]) -> frozenset[str]:
        """Those of the checkpoints that some trial, of any experiment, starts or started from."""
        return await self._read(select_trials.warm_starts, uuids)

    # Logs
    async def read_logs(
        self, trial_id: TrialId, where: LogFilter, after_id: int, limit: int | None, descending: bool
    ) -> Sequence[LogRecord]:
        """Lines of a trial that match, with an id above ``after_id``."""
        return await self._read(select_trials.read_logs, trial_id, where, after_id, limit, descending)

    async def new_lines(self, trial_ids: Sequence[int], after_id: int, limit: int) -> Sequence[LogRecord]:
        """Lines of some trials with an id above ``after_id``, by id."""
        return await self._read(select_trials.new_lines, trial_ids, after_id, limit)

    async def last_line(self) -> int:
        """The largest id that a line of a log was ever given; 0 for none."""
        return await self._read(select_trials.last_line)

    async def last_lines(self, experiment_id: ExperimentId, trials: Collection[int] | None = None) -> Mapping[int, int]:
        """For each trial of an experiment, or each of those named, the id of its last line; 0 for none."""
        return await self._read(select_trials.last_lines, experiment_id, trials)

    async def log_fields(self, trial_id: TrialId) -> Mapping[str, Sequence[str]]:
        """The values that occur, for each list of ``LogFilter``."""
        return await self._read(select_trials.log_fields, trial_id)


def _tell(loop: asyncio.AbstractEventLoop, lost: asyncio.Future[str], why: str) -> None:
    def tell() -> None:
        if not lost.done():
            lost.set_result(why)

    # A loop that is closed has nobody left to tell.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(tell)
