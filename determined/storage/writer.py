"""The only writer: every unit that is waiting is committed together with the others.

What is submitted in one round of the event loop is a group. Where commits are quick and nothing is in the way, a small
group is committed by the loop itself: to hand it to a thread, and the result back, takes as long as the commit. All
else goes to a thread that takes whatever is waiting. While one commit is on its way to the disk the next group gathers
by itself, so there are no timers and no delays. When a group fails, it is taken back and each of its units is tried,
so that only the bad ones fail. A database that went away is waited for; then the group is written again, unless it
turns out that it was committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from determined.errors import DeterminedError, StorageFailed
from determined.steps import step
from determined.storage.backend import Backend
from determined.storage.batch import RowsMissing
from determined.storage.claim import Claim, ClaimLost
from determined.storage.faults import in_one_line, lane_closed, missing, store_closed
from determined.storage.protocol import AppendLogs
from determined.storage.sql_apply import apply
from determined.storage.transaction import Known, Transaction
from determined.storage.waits import Backoff

_LOG: Final = logging.getLogger(__name__)
R = TypeVar("R")
MAX_GROUP: Final = 512
"""Units in one commit."""
MAX_IN_LOOP: Final = 128
"""Rows, or nearly, that the event loop commits by itself."""
QUICK_S: Final = 0.005
"""A commit that takes longer is followed by one in the thread: the loop has others to serve."""

_Result = BaseException | None


@dataclass(frozen=True, slots=True)
class _Unit:
    mutations: Sequence[Any]
    lane: int | None
    future: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class _Reopen:
    lane: int


class _NoTransactionError(Exception):
    """The database lets nobody begin, e.g. because another program holds it."""


class _UnknownOutcomeError(StorageFailed):
    """The database is away, and nobody waits for it any more."""


class _NotCommittedError(Exception):
    """The database went away and is back; nothing of the transaction is in it."""


class Writer:
    """Applies units in the order of ``submit``. All methods are called from one event loop."""

    def __init__(self, backend: Backend, engine: Engine, claim: Claim) -> None:
        self._backend: Final = backend
        self._engine: Final = engine
        self._claim: Final = claim
        self._backoff: Final = Backoff()
        self._loop: Final = asyncio.get_running_loop()
        self._queue: Final[queue.SimpleQueue[_Unit | _Reopen | None]] = queue.SimpleQueue()
        self._known: Final = Known()
        self._closed_lanes: set[int] = set()
        self._connection: Connection | None = None
        self._fresh: list[_Unit | _Reopen] = []
        self._handed_over = 0
        # Nothing is known of the disk yet.
        self._is_quick = False
        self._is_patient = True
        self._thread: Final = threading.Thread(target=self._run, name="determined-store", daemon=True)
        self._stopped = False
        self._thread.start()

    def submit(self, mutations: Sequence[Any], lane: int | None) -> asyncio.Future[None]:
        """Queue a unit, see ``Store.write``."""
        future: asyncio.Future[None] = self._loop.create_future()
        if self._stopped:
            future.set_exception(store_closed())
        else:
            self._add(_Unit(tuple(mutations), lane, future))
        return future

    def reopen(self, lane: int) -> None:
        """Queue the reopening of a lane: units submitted before it still fail."""
        self._add(_Reopen(lane))

    def stop(self) -> None:
        """Refuse units from now on; those that were submitted are still written, unless the database is away."""
        self._stopped = True
        self._backoff.stop()
        self._hand_over()
        self._queue.put(None)

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the thread; whether it has ended. Blocks: not for the event loop."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _add(self, job: _Unit | _Reopen) -> None:
        self._fresh.append(job)
        if len(self._fresh) == 1:
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        """Write what was submitted in this round of the loop, or let the thread do it."""
        try:
            results = self._commit_here() if self._may_commit_here() else None
        except BaseException:
            # Somebody wants this process to end; what was submitted before is still written.
            self._hand_over()
            raise
        if results is None:
            self._hand_over()
        else:
            self._fresh = []
            _resolve(results)

    def _commit_here(self) -> list[tuple[asyncio.Future[None], _Result]] | None:
        """None if nothing came of it: whatever the reason, the thread finds out, and has the time for it."""
        started = time.monotonic()
        try:
            self._wait_for_others(False)
            results = self._apply_together(self._fresh)
        except Exception:
            self._known.forget()
            self._is_quick = False
            return None
        self._known.trim()
        self._is_quick = time.monotonic() - started < QUICK_S
        return results

    def _wait_for_others(self, is_patient: bool) -> None:
        if self._is_patient != is_patient and self._connection is not None:
            self._backend.wait_for_others(self._connection, is_patient)
        self._is_patient = is_patient

    def _may_commit_here(self) -> bool:
        """The thread sleeps, so that nobody else uses the connection, and the loop is not held up for long."""
        is_free = not self._handed_over and not self._stopped and self._connection is not None
        return is_free and self._is_quick and self._backend.is_local and 0 < _rows_of(self._fresh) <= MAX_IN_LOOP

    def _hand_over(self) -> None:
        jobs, self._fresh = self._fresh, []
        self._handed_over += len(jobs)
        for job in jobs:
            self._queue.put(job)

    def _take_back(self, jobs: int, results: Sequence[tuple[asyncio.Future[None], _Result]], took_s: float) -> None:
        self._handed_over -= jobs
        self._is_quick = took_s < QUICK_S
        _resolve(results)

    def _run(self) -> None:
        more = True
        while more:
            group = self._gather()
            more = None not in group
            jobs = [job for job in group if job is not None]
            started = time.monotonic()
            results = self._apply(jobs)
            took_s = time.monotonic() - started
            # A loop that is closed has nobody left to tell.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._take_back, len(jobs), results, took_s)
        self._disconnect()

    def _gather(self) -> list[_Unit | _Reopen | None]:
        group = [self._queue.get()]
        with contextlib.suppress(queue.Empty):
            while group[-1] is not None and len(group) < MAX_GROUP:
                group.append(self._queue.get_nowait())
        return group

    def _apply(self, jobs: Sequence[_Unit | _Reopen]) -> list[tuple[asyncio.Future[None], _Result]]:
        try:
            self._wait_for_others(True)
            return self._until_answered(lambda: self._apply_together(jobs))
        except (_NoTransactionError, _UnknownOutcomeError, ClaimLost) as error:
            # Trying each unit would wait for the lock each time.
            self._known.forget()
            return self._refuse(jobs, error)
        except Exception:
            # Which unit it was, and what it means, comes out when they are tried one by one.
            self._known.forget()
            return self._apply_singly(jobs)
        finally:
            self._known.trim()

    def _until_answered(self, work: Callable[[], R]) -> R:
        while True:
            try:
                return work()
            except _NotCommittedError:
                self._known.forget()

    def _apply_together(self, jobs: Sequence[_Unit | _Reopen]) -> list[tuple[asyncio.Future[None], _Result]]:
        closed = set(self._closed_lanes)
        results: list[tuple[asyncio.Future[None], _Result]] = []
        with self._transaction() as tx:
            for job in jobs:
                if isinstance(job, _Reopen):
                    closed.discard(job.lane)
                elif job.lane is not None and job.lane in closed:
                    results.append((job.future, lane_closed(job.lane)))
                else:
                    for mutation in job.mutations:
                        apply(tx, mutation)
                    results.append((job.future, None))
            tx.finish()
        self._closed_lanes = closed
        return results

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        try:
            # One connection serves all: to take it from the pool and back costs as much as a small transaction.
            if self._connection is None:
                self._connection = self._engine.connect()
                # One from the pool may have been told otherwise.
                self._backend.wait_for_others(self._connection, self._is_patient)
            try:
                begun = self._connection.begin()
            except DBAPIError as error:
                raise _NoTransactionError from error
            with begun:
                self._claim.begin(self._connection)
                yield Transaction(self._connection, self._known)
                step("store.commit.before")
            self._claim.committed()
            step("store.commit.after")
        except BaseException as error:
            # Whatever state it is in, the next transaction shall not find out.
            is_lost = self._backend.is_lost(error)
            self._disconnect(is_lost)
            if not is_lost:
                raise
            if not self._was_committed(error):
                raise _NotCommittedError from error
            step("store.commit.after")

    def _was_committed(self, error: BaseException) -> bool:
        """Wait until the database is back, and ask it what became of the newest transaction.

        Raises:
            _UnknownOutcomeError: it is not back yet, and we are to stop.
            ClaimLost: others write now.
        """
        _LOG.warning("the database is away (%s); what is to be stored waits for it", in_one_line(error))
        self._backoff.reset()
        while not self._backoff.wait():
            try:
                self._connection = self._engine.connect()
                with self._connection.begin():
                    was_committed = self._claim.find_out(self._connection)
            except Exception as again:
                is_lost = self._backend.is_lost(again)
                self._disconnect(is_lost)
                if not is_lost:
                    raise
            else:
                _LOG.warning("the database is back")
                return was_committed
        raise _UnknownOutcomeError("the database is away and the master stops; it is not known whether this was stored")

    def _disconnect(self, is_lost: bool = False) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(DBAPIError):
                if is_lost:
                    # Nothing can be rolled back there.
                    connection.invalidate()
                connection.close()

    def _refuse(self, jobs: Sequence[_Unit | _Reopen], error: Exception) -> list[tuple[asyncio.Future[None], _Result]]:
        results: list[tuple[asyncio.Future[None], _Result]] = []
        for job in jobs:
            if isinstance(job, _Reopen):
                self._closed_lanes.discard(job.lane)
                continue
            if job.lane is not None:
                self._closed_lanes.add(job.lane)
            results.append((job.future, self._explain(error, job.mutations[-1] if job.mutations else None)))
        return results

    def _apply_singly(self, jobs: Sequence[_Unit | _Reopen]) -> list[tuple[asyncio.Future[None], _Result]]:
        results: list[tuple[asyncio.Future[None], _Result]] = []
        for job in jobs:
            if isinstance(job, _Reopen):
                self._closed_lanes.discard(job.lane)
                continue
            failure: _Result
            if job.lane is not None and job.lane in self._closed_lanes:
                failure = lane_closed(job.lane)
            else:
                failure = self._apply_one(job)
                if failure is not None and job.lane is not None:
                    self._closed_lanes.add(job.lane)
            results.append((job.future, failure))
        return results

    def _apply_one(self, unit: _Unit) -> DeterminedError | None:
        current: Any = None

        def work() -> None:
            nonlocal current
            with self._transaction() as tx:
                for current in unit.mutations:
                    apply(tx, current)
                    tx.batch.flush()
                tx.finish()

        try:
            self._until_answered(work)
        except Exception as error:
            self._known.forget()
            return self._explain(error, current)
        return None

    def _explain(self, error: Exception, mutation: Any) -> DeterminedError:
        if isinstance(error, DeterminedError):
            return error
        if isinstance(error, _NoTransactionError) and isinstance(error.__cause__, Exception):
            error = error.__cause__
        failure = missing(mutation) if isinstance(error, RowsMissing) else self._backend.explain(error, mutation)
        failure.__cause__ = error
        return failure


def _rows_of(jobs: Sequence[_Unit | _Reopen]) -> int:
    """How much work a group is; at least one for each job."""
    rows = len(jobs)
    for job in jobs:
        if isinstance(job, _Unit):
            rows += sum(len(m.records) if isinstance(m, AppendLogs) else 1 for m in job.mutations)
    return rows


def _resolve(results: Sequence[tuple[asyncio.Future[None], _Result]]) -> None:
    for future, failure in results:
        if future.done():
            continue
        if failure is None:
            future.set_result(None)
        else:
            future.set_exception(failure)
