"""Crashes, full disks and locks, with real processes and files."""

from __future__ import annotations

import asyncio
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.pool import Pool

from determined.domain.ids import ExperimentId
from determined.errors import InvalidInput, StorageFailed
from determined.storage import protocol as p
from determined.storage.protocol import Mutation
from determined.storage.sql import SqlStore
from determined.storage.writer import MAX_IN_LOOP
from determined.testing.store_factories import make_experiment, make_fact, make_line, make_trial, validated
from determined.testing.store_suite import outcome, outcomes

E1 = ExperimentId(1)
BEGIN: list[Mutation] = [p.InsertExperiment(make_experiment(1)), p.InsertTrial(make_trial(1))]
BIG: list[Mutation] = [p.AppendLogs((make_line("x" * 4_000_000),))]

WRITER = """
import asyncio, sys
from determined.storage import protocol as p
from determined.storage.sql import SqlStore
from determined.testing.store_factories import make_experiment, make_fact, make_trial, validated

async def client(store, first, step):
    for n in range(first, 10**9, step):
        await store.write([p.AppendJournal(make_fact(n)), validated(1, n, 1.0 / n)])
        sys.stdout.write(f"{n}\\n")

async def run():
    store = SqlStore(sys.argv[1])
    await store.open()
    await store.write([p.InsertExperiment(make_experiment(1)), p.InsertTrial(make_trial(1))])
    await asyncio.gather(*(client(store, n, 20) for n in range(1, 21)))

sys.stdout.reconfigure(line_buffering=True)
asyncio.run(run())
"""


async def _opened(path: Path) -> SqlStore:
    store = SqlStore(f"sqlite:///{path}/store.db")
    await store.open()
    return store


@pytest.mark.parametrize("acknowledged", [1, 50, 2000])
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, acknowledged: int) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    with subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        known = [int(child.stdout.readline()) for _ in range(acknowledged)]
        child.send_signal(signal.SIGKILL)
        known += [int(line) for line in child.stdout if line.endswith("\n")]

    async def check() -> None:
        store = await _opened(tmp_path)
        stored = {row.seq for row in await store.read_journal(E1, 0, 10**9)}
        assert set(known) <= stored
        # Nothing is half there: each fact has its report, and the summary says so.
        reports = await store.list_metrics([make_trial(1).id], [], 0, 10**9)
        assert {m.steps for m in reports} == stored
        trial = await store.get_trial(make_trial(1).id)
        live = [m for m in reports if not m.archived]
        assert trial.total_batches == max(m.steps for m in live)
        assert trial.best_metric == min(m.searcher_metric for m in live if m.searcher_metric is not None)
        assert await outcome(store, [p.AppendJournal(make_fact(0))]) is None
        await store.close()

    asyncio.run(check())


def test_everything_is_there_after_reopening_and_ids_go_on(tmp_path: Path) -> None:
    async def run() -> None:
        store = await _opened(tmp_path)
        await store.write([*BEGIN, validated(1, 1, 0.5), validated(1, 2, 0.25)])
        before = (await store.get_experiment(E1), await store.get_trial(make_trial(1).id))
        await store.close()
        await store.close()
        again = await _opened(tmp_path)
        assert (await again.get_experiment(E1), await again.get_trial(make_trial(1).id)) == before
        await again.write([validated(1, 1, 0.1, run=2)])
        assert [m.id for m in await again.list_metrics([make_trial(1).id], [], 0, 9)] == [1, 2, 3]
        assert (await again.get_trial(make_trial(1).id)).best_metric == 0.1
        await again.close()

    asyncio.run(run())


def test_closing_first_writes_what_was_submitted(tmp_path: Path) -> None:
    async def run() -> None:
        store = await _opened(tmp_path)
        await store.write(BEGIN)
        futures = [store.write([p.AppendJournal(make_fact(n))]) for n in range(2000)]
        await store.close()
        await asyncio.gather(*futures)
        again = await _opened(tmp_path)
        assert len(await again.read_journal(E1, -1, 10_000)) == 2000
        await again.close()

    asyncio.run(run())


@contextmanager
def _small_files(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_the_disk_refuses_fails_alone_and_the_store_goes_on(tmp_path: Path) -> None:
    async def run() -> None:
        store = await _opened(tmp_path)
        await store.write(BEGIN)
        with _small_files(2_000_000):
            small: list[list[Mutation]] = [[p.AppendJournal(make_fact(n))] for n in (1, 2)]
            results = await outcomes(store, [small[0], BIG, small[1]])
            assert results == [None, StorageFailed, None]
            assert await outcome(store, BIG, lane=1) is StorageFailed
            assert await outcome(store, small[1], lane=1) is StorageFailed
        store.reopen_lane(1)
        assert await outcome(store, BIG, lane=1) is None
        assert [row.seq for row in await store.read_journal(E1, 0, 9)] == [1, 2]
        assert len(await store.read_logs(make_trial(1).id, p.LogFilter(), 0, None, False)) == 1
        await store.close()

    asyncio.run(run())


def test_a_full_disk_is_told_and_left_behind(tmp_path: Path) -> None:
    connections: list[sqlite3.Connection] = []

    def limit(connection: sqlite3.Connection, _: Any) -> None:
        connection.execute("PRAGMA max_page_count = 200")
        connections.append(connection)

    async def run() -> None:
        store = await _opened(tmp_path)
        await store.write(BEGIN)
        with pytest.raises(StorageFailed, match=r"full.*nothing was stored"):
            await store.write(BIG)
        assert await outcome(store, [p.AppendJournal(make_fact(1))]) is None
        for connection in connections:
            connection.execute("PRAGMA max_page_count = 100000")
        assert await outcome(store, BIG) is None
        await store.close()

    sqlalchemy.event.listen(Pool, "connect", limit)
    try:
        asyncio.run(run())
    finally:
        sqlalchemy.event.remove(Pool, "connect", limit)


def test_another_program_with_the_lock_makes_units_fail_until_it_lets_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("determined.storage.backend.BUSY_S", 0.05)

    async def run() -> None:
        store = await _opened(tmp_path)
        await store.write(BEGIN)
        other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        units: list[list[Mutation]] = [[p.AppendJournal(make_fact(n))] for n in (1, 2)]
        assert await outcomes(store, units) == [StorageFailed, StorageFailed]
        assert await store.read_journal(E1, 0, 9) == []
        other.execute("ROLLBACK")
        other.close()
        assert await outcomes(store, units) == [None, None]
        await store.close()

    asyncio.run(run())


def test_values_that_no_column_can_hold_are_refused(tmp_path: Path) -> None:
    async def run() -> None:
        store = await _opened(tmp_path)
        await store.write(BEGIN)
        odd: list[Mutation] = [
            p.PatchExperiment(E1, {"name": "\ud800"}),
            p.PatchExperiment(E1, {"epoch": 2**63}),
            p.AppendLogs((make_line("\ud800"),)),
        ]
        for mutation in odd:
            assert await outcome(store, [mutation]) is InvalidInput
        assert await outcome(store, [validated(1, 1, 0.5)]) is None
        with pytest.raises(InvalidInput, match="too large"):
            await store.get_experiment(ExperimentId(2**63))
        with pytest.raises(InvalidInput, match="surrogates"):
            await store.find_user("\ud800")
        await store.close()

    asyncio.run(run())


def _log_of(writer: Any) -> list[str]:
    """Who commits from now on: the event loop itself, or the thread."""
    names: list[str] = []
    together = writer._apply_together

    def apply(jobs: Any) -> Any:
        names.append("thread" if threading.current_thread() is writer._thread else "loop")
        return together(jobs)

    writer._apply_together = apply
    return names


async def _until_in_loop(store: SqlStore, first: int) -> int:
    """Commit until the event loop does it by itself, as on a quick disk; the number of the next fact."""
    who = _log_of(store._writer)
    for number in range(first, first + 500):
        await store.write([p.AppendJournal(make_fact(number))])
        if who[-1] == "loop":
            return number + 1
    pytest.skip("no commit on this disk is quick enough for the event loop")


def test_a_small_group_is_committed_by_the_loop_and_a_large_one_by_the_thread(tmp_path: Path) -> None:
    async def run() -> None:
        store = await _opened(tmp_path)
        await store.write(BEGIN)
        number = await _until_in_loop(store, 1)
        who = _log_of(store._writer)
        many = [store.write([p.AppendJournal(make_fact(number + n))]) for n in range(MAX_IN_LOOP)]
        # A unit that is large by itself would be too, whatever it is made of.
        assert not store._writer._may_commit_here()  # type: ignore[union-attr]
        # What comes while the thread is at work keeps its place behind.
        await asyncio.sleep(0)
        late = store.write([p.AppendJournal(make_fact(number + len(many)))])
        await asyncio.gather(*many, late)
        assert who == ["thread"] * len(who) != []
        rows = await store.read_journal(E1, 0, 10**9)
        assert [row.seq for row in rows] == list(range(1, number + len(many) + 1))
        await store.close()

    asyncio.run(run())


def test_a_program_that_holds_the_file_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    async def run() -> None:
        store = await _opened(tmp_path)
        await store.write(BEGIN)
        number = await _until_in_loop(store, 1)
        other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = store.write([p.AppendJournal(make_fact(number))])
        for _ in range(3):
            await asyncio.sleep(0)
        assert not waiting.done()
        # The loop goes on meanwhile, or nobody would ever do this.
        other.execute("ROLLBACK")
        await waiting
        other.close()
        assert len(await store.read_journal(E1, 0, 10**9)) == number
        await _until_in_loop(store, number + 1)
        await store.close()

    asyncio.run(run())


def test_a_unit_that_fails_in_the_loop_fails_alone_and_closes_its_lane(tmp_path: Path) -> None:
    async def run() -> None:
        store = await _opened(tmp_path)
        await store.write(BEGIN)
        number = await _until_in_loop(store, 1)
        good = store.write([p.AppendJournal(make_fact(number))], lane=1)
        # A fact that is there already.
        bad = store.write([p.AppendJournal(make_fact(1))], lane=1)
        after = store.write([p.AppendJournal(make_fact(number + 1))], lane=1)
        elsewhere = store.write([p.AppendJournal(make_fact(number + 2))])
        results = await asyncio.gather(good, bad, after, elsewhere, return_exceptions=True)
        assert [isinstance(result, Exception) for result in results] == [False, True, True, False]
        store.reopen_lane(1)
        await store.write([p.AppendJournal(make_fact(number + 1))], lane=1)
        await store.close()

    asyncio.run(run())
