"""PostgreSQL goes away: in and around COMMIT, for a restart, for a while. Nothing is lost, and nothing is there twice.

``DET_TEST_STALL_S`` is how long the server stands still; 30 takes as long as the promise says.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest

from determined.domain.ids import ExperimentId
from determined.errors import FailedPrecondition, InvalidInput, StorageFailed
from determined.storage import postgres_claim
from determined.storage import protocol as p
from determined.storage.postgres import PostgresBackend
from determined.storage.protocol import Mutation, Store
from determined.storage.sql import SqlStore
from determined.testing.postgres import PostgresServer, drop_database, new_database, run_sql
from determined.testing.store_factories import make_experiment, make_fact, make_line, make_trial, validated
from determined.testing.store_suite import outcome
from tests.integration.postgres_rig import Proxy, at_commit, end_lock_holder, end_sessions, until_waiting

STALL_S = float(os.environ.get("DET_TEST_STALL_S", "1"))
E1 = ExperimentId(1)
T1 = make_trial(1).id
BEGIN: list[Mutation] = [p.InsertExperiment(make_experiment(1)), p.InsertTrial(make_trial(1))]


@pytest.fixture
def url() -> Iterator[str]:
    made = new_database()
    yield made
    drop_database(made)


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


def _unit(n: int) -> list[Mutation]:
    """Something of which a second time would be seen: a fact, a report, a line, a trial that is counted."""
    return [p.AppendJournal(make_fact(n)), validated(1, n, 1.0 / n), p.AppendLogs((make_line(str(n)),)), _trial(n)]


def _trial(n: int) -> Mutation:
    return p.InsertTrial(make_trial(n + 1))


async def _check(store: Store, units: int) -> None:
    """Exactly the units 1 to ``units`` are stored."""
    expected = list(range(1, units + 1))
    assert [row.seq for row in await store.read_journal(E1, 0, 10**6)] == expected
    assert [m.steps for m in await store.list_metrics([T1], [], 0, 10**6)] == expected
    assert [m.id for m in await store.list_metrics([T1], [], 0, 10**6)] == expected
    lines = await store.read_logs(T1, p.LogFilter(), 0, None, False)
    assert [(line.id, line.text) for line in lines] == [(n, str(n)) for n in expected]
    assert (await store.get_experiment(E1)).num_trials == units + 1


async def _with(url: str, test: Callable[[SqlStore], Awaitable[None]]) -> SqlStore:
    store = SqlStore(url)
    await store.open()
    try:
        await store.write(BEGIN)
        await test(store)
    finally:
        await store.close()
    return store


@pytest.mark.parametrize("cut", ["request", "answer"])
@pytest.mark.parametrize("at", [1, 2, 7])
def test_a_commit_whose_answer_is_lost_is_looked_up_and_done_once(url: str, cut: str, at: int) -> None:
    """Cut before COMMIT arrives, it must be written again; cut before its answer arrives, it must not."""
    proxy = Proxy(url)

    async def run(store: SqlStore) -> None:
        with at_commit(at, lambda: setattr(proxy, "cut", cut)):
            for n in range(1, 9):
                await store.write(_unit(n), lane=1)
        assert proxy.cuts == 1
        await _check(store, 8)

    asyncio.run(_with(proxy.url, run))
    proxy.close()


def test_a_unit_that_is_refused_alone_is_looked_up_too(url: str) -> None:
    """Of a group with a bad unit each unit is a transaction of its own."""
    proxy = Proxy(url)

    async def run(store: SqlStore) -> None:
        with at_commit(1, lambda: setattr(proxy, "cut", "answer")):
            units: list[list[Mutation]] = [_unit(1), [p.AppendJournal(make_fact(1))], _unit(2)]
            results = await asyncio.gather(*(store.write(u) for u in units), return_exceptions=True)
        assert [type(r).__name__ for r in results] == ["NoneType", "Conflict", "NoneType"]
        assert proxy.cuts == 1
        await _check(store, 2)

    asyncio.run(_with(proxy.url, run))
    proxy.close()


@pytest.mark.parametrize("name", ["determined writer", "determined reader", "determined master", "determined"])
def test_sessions_that_are_ended_at_any_commit_change_nothing(url: str, name: str) -> None:
    ended: list[int] = []

    async def run(store: SqlStore) -> None:
        await _check(store, 0)
        for n in range(1, 4):
            with at_commit(1, lambda: ended.append(end_sessions(url, name))):
                await asyncio.gather(store.write(_unit(2 * n - 1)), store.write(_unit(2 * n)))
            await _check(store, 2 * n)
        assert ended[0] >= 1
        assert len(ended) == 3
        assert not store.lost.done()

    asyncio.run(_with(url, run))


async def _load(store: Store, clients: int, units: int, on_unit: Callable[[int], Awaitable[None]]) -> None:
    """Clients that write units as fast as they are answered; numbers are given in the order of the calls."""
    taken = iter(range(1, units + 1))

    async def client() -> None:
        for n in taken:
            await store.write(_unit(n))
            await on_unit(n)

    await asyncio.gather(*(client() for _ in range(clients)))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_server_that_is_restarted_under_load_is_waited_for(own_server: PostgresServer, how: signal.Signals) -> None:
    """In good order, and as in a crash."""
    url = new_database(own_server.url())

    def restart() -> None:
        own_server.stop(how)
        own_server.start()

    async def run(store: SqlStore) -> None:
        async def on_unit(n: int) -> None:
            if n in (100, 200):
                await asyncio.to_thread(restart)
            elif n % 10 == 0:
                await store.get_experiment(E1)

        await _load(store, 10, 400, on_unit)
        await _check(store, 400)
        assert not store.lost.done()

    asyncio.run(_with(url, run))


@pytest.mark.timeout(120 + 10 * STALL_S)
def test_a_server_that_stands_still_stalls_answers_and_nothing_else(own_server: PostgresServer) -> None:
    url = new_database(own_server.url())

    async def run(store: SqlStore) -> None:
        await store.write(_unit(1))
        with own_server.stalled():
            waiting = [asyncio.ensure_future(store.write(_unit(n))) for n in range(2, 50)]
            waiting.append(asyncio.ensure_future(_check(store, 1)))
            done, _ = await asyncio.wait(waiting, timeout=STALL_S)
            assert not done
        waiting.pop()
        await asyncio.gather(*waiting)
        await _check(store, 49)

    asyncio.run(_with(url, run))


def test_a_store_is_closed_though_its_database_stands_still(
    own_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PostgresBackend, "close_within_s", 0.2)
    url = new_database(own_server.url())

    async def run(store: SqlStore) -> None:
        await store.write(_unit(1))
        with own_server.stalled():
            writing = store.write(_unit(2))
            reading = asyncio.ensure_future(store.get_experiment(E1))
            await asyncio.sleep(0)
            await store.close()
            results = await asyncio.gather(writing, reading, return_exceptions=True)
        assert all(isinstance(r, StorageFailed) for r in results), results

    asyncio.run(_with(url, run))

    async def again(store: SqlStore) -> None:
        assert [row.seq for row in await store.read_journal(E1, 0, 9)] in ([1], [1, 2])

    async def reopen() -> None:
        store = SqlStore(url)
        await store.open()
        await again(store)
        await store.close()

    asyncio.run(reopen())


def test_a_second_store_is_refused_and_told_who_is_in(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_claim, "PATIENCE_MS", 50)

    async def run(store: SqlStore) -> None:
        with pytest.raises(
            FailedPrecondition, match=rf"another master \(process {os.getpid()} on .*stop that one"
        ) as e:
            await SqlStore(url).open()
        assert "***" in str(e.value)
        assert await outcome(store, _unit(1)) is None

    asyncio.run(_with(url, run))
    asyncio.run(_reopened(url))


async def _reopened(url: str) -> None:
    store = SqlStore(url)
    await store.open()
    await store.close()


async def _take_over(url: str) -> SqlStore:
    """A store that waits for the lock is there first when the session that holds it is ended."""
    second = SqlStore(url)
    opening = asyncio.ensure_future(second.open())
    await asyncio.to_thread(until_waiting, url, "advisory")
    assert await asyncio.to_thread(end_lock_holder, url) == 1
    await opening
    return second


def test_a_store_that_was_replaced_can_write_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_claim, "PATIENCE_MS", 60_000)

    async def run(store: SqlStore) -> None:
        await store.write(_unit(1))
        second = await _take_over(url)
        with pytest.raises(StorageFailed, match="taken over the database"):
            await store.write(_unit(2))
        assert "this one stops" in await store.lost
        with pytest.raises(StorageFailed, match="nothing was stored"):
            await store.write(_unit(2), lane=1)
        await second.write(_unit(2))
        await _check(second, 2)
        await second.close()

    asyncio.run(_with(url, run))


def test_a_transaction_of_a_store_that_is_being_replaced_is_rolled_back(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may stand still just before its COMMIT, and go on when another has become the writer."""
    monkeypatch.setattr(postgres_claim, "PATIENCE_MS", 60_000)
    reached, go_on = threading.Event(), threading.Event()

    def stop_here() -> None:
        reached.set()
        go_on.wait()

    async def run(store: SqlStore) -> None:
        with at_commit(1, stop_here):
            writing = store.write(_unit(1))
            await asyncio.to_thread(reached.wait)
            try:
                second = await _take_over(url)
            finally:
                go_on.set()
            with pytest.raises(StorageFailed, match="not known whether this was stored"):
                await writing
        await _check(second, 0)
        await second.write(_unit(1))
        with pytest.raises(StorageFailed):
            await store.write(_unit(2))
        await _check(second, 1)
        await second.close()

    asyncio.run(_with(url, run))


def test_a_database_that_is_not_there_or_lets_nobody_in_is_told_in_a_sentence(own_server: PostgresServer) -> None:
    urls = {
        own_server.url("nowhere"): 'database "nowhere" does not exist',
        own_server.url().replace(own_server.password, "wrong"): "password authentication failed",
        own_server.url().replace(str(own_server.port), "1"): "Connection refused",
    }
    for url, why in urls.items():
        with pytest.raises(StorageFailed, match=why) as e:
            asyncio.run(_reopened(url))
        assert "\n" not in str(e.value)
        assert own_server.password not in str(e.value)
        assert "wrong" not in str(e.value)


def test_a_database_of_another_encoding_or_another_program_is_refused(own_server: PostgresServer) -> None:
    run_sql(own_server.url(), "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    with pytest.raises(Exception, match="has the encoding LATIN1"):
        asyncio.run(_reopened(own_server.url("latin")))
    other = new_database(own_server.url())
    run_sql(other, "CREATE TABLE recipes (name TEXT)")
    with pytest.raises(Exception, match="another program"):
        asyncio.run(_reopened(other))
    assert run_sql(other, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [("recipes",)]


def test_values_that_no_column_can_hold_are_refused(url: str) -> None:
    async def run(store: SqlStore) -> None:
        odd: list[Mutation] = [
            p.PatchExperiment(E1, {"name": "\ud800"}),
            p.PatchExperiment(E1, {"epoch": 2**63}),
            p.PatchExperiment(E1, {"name": "\0"}),
            p.AppendLogs((make_line("\ud800"),)),
            p.AppendLogs((make_line("\0"),)),
        ]
        for mutation in odd:
            assert await outcome(store, [mutation]) is InvalidInput
        assert await outcome(store, _unit(1)) is None
        for name in ("\ud800", "\0"):
            with pytest.raises(InvalidInput):
                await store.find_user(name)
        await _check(store, 1)

    asyncio.run(_with(url, run))
