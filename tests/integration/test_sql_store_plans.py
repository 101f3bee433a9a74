"""How SQLite finds the rows: no query of daily use may read a whole table that grows."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.pool import Pool

from determined.domain.ids import ExperimentId, RunId, TrialId, UserId
from determined.domain.records import Token
from determined.domain.states import CheckpointState, ExperimentState, TrialState
from determined.storage import protocol as p
from determined.storage.protocol import LogFilter, Mutation, Order, Page, TallyQuery
from determined.storage.sql import SqlStore
from determined.testing.store_factories import (
    make_checkpoint,
    make_event,
    make_experiment,
    make_fact,
    make_line,
    make_run,
    make_trial,
    make_user,
    trained,
    validated,
)

E1 = ExperimentId(1)
T1 = TrialId(1)
GROWING = "experiments|trials|runs|metrics|checkpoints|logs|journal|events|batches|parts|tokens"
SCAN = re.compile(rf"^SCAN ({GROWING})\b")
EVERYTHING: list[Mutation] = [
    p.PutUser(make_user()),
    p.PutToken(Token(digest="d", user_id=UserId(1), created_at=1.0, expires_at=None)),
    p.InsertExperiment(make_experiment(client_key="key")),
    p.InsertTrial(make_trial()),
    p.PutRun(make_run()),
    p.AppendLogs((make_line("a"), make_line("b")), "1.1.1", 2),
    p.AppendJournal(make_fact(1)),
    p.AppendEvent(make_event(1)),
    p.PutBatch(E1, 1, "digest"),
    p.PutState(E1, "method", 1, b""),
    p.DropState(E1, "method"),
    p.DropToken("d"),
    trained(1, 1),
    validated(1, 1, 0.5),
    validated(1, 2, 0.4),
    validated(1, 2, 0.6),
    validated(1, 1, 0.7, run=2),
    p.PutCheckpoint(make_checkpoint("c")),
    p.SetCheckpointMetadata("c", "{}"),
    p.SetCheckpointState("c", CheckpointState.DELETED),
    p.UpdateTrial(T1, TrialState.ACTIVE, RunId(1), None, 0, False, None),
    p.UpdateTrialUnits(T1, 1.0),
    p.UpdateRunnerState(T1, "training"),
    p.UpdateExperiment(E1, ExperimentState.ACTIVE, 0.5, None, ""),
    p.PatchExperiment(E1, {"name": "other"}),
]


@pytest.fixture
def executed() -> Iterator[list[str]]:
    statements: list[str] = []

    def trace(connection: sqlite3.Connection, _: Any) -> None:
        connection.set_trace_callback(statements.append)

    sqlalchemy.event.listen(Pool, "connect", trace)
    yield statements
    sqlalchemy.event.remove(Pool, "connect", trace)


async def _read_everything(store: SqlStore) -> None:
    page = Page(limit=10)
    await store.next_ids()
    await store.find_user("user1")
    await store.find_token("d")
    await store.get_experiment(E1)
    await store.find_by_client_key(UserId(1), "key")
    await store.list_unfinished()
    await store.load_engine(E1)
    await store.find_state(E1, "part")
    await store.read_journal(E1, 0, 10)
    await store.read_events(E1, 0, 10)
    await store.read_journal(E1, 0, 10, ["kind"])
    await store.get_journal(E1, [1, 2])
    await store.get_events(E1, [1, 2])
    await store.journal_end(E1)
    await store.find_batch(E1, 1)
    await store.get_trial(T1)
    for key in ("ID", "BEST_VALIDATION_METRIC", "STATE"):
        await store.list_trials(E1, [], Order(key), page)
        await store.list_trials(E1, [], Order(key, descending=True), page)
    await store.trial_ids(E1)
    await store.trial_rows(E1)
    await store.trial_rows(E1, [1, 2])
    await store.tallies([TallyQuery(E1, True)])
    await store.searcher_points([1, 2])
    await store.searcher_points([1, 2], 1)
    await store.list_runs(T1)
    await store.find_run("1.1.1")
    await store.get_metrics([1, 2])
    await store.list_metrics([T1, TrialId(2)], ["validation"], 0, 10)
    await store.list_trial_metrics(T1)
    await store.get_checkpoint("c")
    for key in ("UUID", "SEARCHER_METRIC"):
        await store.list_checkpoints(E1, None, [], Order(key), page)
        await store.list_checkpoints(None, T1, [CheckpointState.COMPLETED], Order(key), page)
    await store.best_checkpoints([T1, TrialId(2)])
    await store.warm_starts(["c"])
    await store.read_logs(T1, LogFilter(levels=("INFO",)), 5, 10, False)
    await store.read_logs(T1, LogFilter(), 0, 10, True)
    await store.log_fields(T1)
    await store.new_lines([T1, TrialId(2)], 5, 10)
    await store.last_lines(E1)
    await store.last_line()


def test_no_statement_of_daily_use_reads_a_whole_table(tmp_path: Path, executed: list[str]) -> None:
    async def run() -> None:
        store = SqlStore(f"sqlite:///{tmp_path}/store.db")
        await store.open()
        executed.clear()
        for mutation in EVERYTHING:
            await store.write([mutation])
        await _read_everything(store)
        await store.write([p.DeleteExperiment(E1)])
        await store.close()

    asyncio.run(run())
    plans = _plans(tmp_path / "store.db", executed)
    assert len(plans) > 60
    scans = {sql: steps for sql, steps in plans.items() if any(SCAN.match(step) for step in steps)}
    assert scans == {}


def test_the_journal_the_queue_and_logs_are_read_in_order_without_sorting(tmp_path: Path, executed: list[str]) -> None:
    async def run() -> None:
        store = SqlStore(f"sqlite:///{tmp_path}/store.db")
        await store.open()
        executed.clear()
        await store.read_journal(E1, 5, 10)
        await store.read_events(E1, 5, 10)
        await store.read_logs(T1, LogFilter(), 5, 10, True)
        await store.list_metrics([T1], [], 5, 10)
        await store.list_trials(E1, [], Order(), Page(limit=10))
        await store.close()

    asyncio.run(run())
    steps = [step for plan in _plans(tmp_path / "store.db", executed).values() for step in plan]
    assert len(steps) >= 6
    assert not [step for step in steps if "TEMP B-TREE" in step]


def _plans(path: Path, statements: list[str]) -> dict[str, list[str]]:
    with sqlite3.connect(path) as conn:
        plans = {
            sql: [row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}")]
            for sql in statements
            if sql.split()[0] in {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"}
        }
    conn.close()
    return plans
