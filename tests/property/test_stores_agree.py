"""The durable store and the one in memory, driven in step: same answers, same errors, same orders."""

from __future__ import annotations

import asyncio
import functools
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from determined.domain.ids import ExperimentId, RunId, TrialId, UserId
from determined.domain.records import Token
from determined.domain.states import CheckpointState, ExperimentState, RunPhase, TrialState
from determined.errors import DeterminedError
from determined.storage import protocol as p
from determined.storage.memory import MemoryStore
from determined.storage.protocol import ExperimentFilter, LogFilter, Mutation, Order, Page, Store
from determined.storage.sql import SqlStore
from determined.testing.cluster import TEST_DB
from determined.testing.postgres import empty_database, new_database
from determined.testing.store_factories import (
    make_checkpoint,
    make_event,
    make_experiment,
    make_fact,
    make_line,
    make_report,
    make_run,
    make_trial,
    make_user,
)

# Few and small numbers, so that mutations meet on the same rows.
small = st.integers(1, 3)
trial_ids = st.integers(1, 4)
steps = st.integers(0, 6)
metric = st.sampled_from([None, -1.0, 0.5, 0.75, 2.0, 1e308])
texts = st.sampled_from(["", "a", "A", "a b", 'q"', "Ä", "%"])
names = st.sampled_from(["c1", "c2", "c3"])


def _owner(trial: int) -> ExperimentId:
    return ExperimentId(1 if trial < 4 else 2)


def _report(trial: int, run: int, group: str, at: int, value: float | None) -> p.PutMetrics:
    owner = _owner(trial)
    row = make_report(trial, run, group, at, value, experiment_id=owner, has_searcher_metric=at % 5 != 4)
    return p.PutMetrics(row, smaller_is_better=owner == 1)


def _experiment(number: int, key: str, name: str) -> p.InsertExperiment:
    return p.InsertExperiment(make_experiment(number, client_key=key, name=name, smaller_is_better=number == 1))


def _checkpoint(name: str, trial: int, at: int, state: CheckpointState) -> p.PutCheckpoint:
    return p.PutCheckpoint(make_checkpoint(name, trial, at, experiment_id=_owner(trial), state=state, size=at))


reports = st.builds(_report, trial_ids, small, st.sampled_from(["training", "validation", "x"]), steps, metric)
common: st.SearchStrategy[Mutation] = st.one_of(
    reports,
    reports,
    st.builds(lambda s, e: p.AppendJournal(make_fact(s, e)), st.integers(1, 12), small),
    st.builds(lambda n, e: p.AppendEvent(make_event(n, e)), st.integers(1, 12), small),
    st.builds(lambda t, u: p.UpdateTrialUnits(TrialId(t), u), trial_ids, st.sampled_from([0.5, 3.0])),
    st.builds(
        lambda t, s, r, x, c: p.UpdateTrial(TrialId(t), s, RunId(r), x, 0, c, None),
        trial_ids,
        st.sampled_from(TrialState),
        small,
        st.none() | st.sampled_from(RunPhase),
        st.booleans(),
    ),
)
rare: st.SearchStrategy[Mutation] = st.one_of(
    st.builds(_experiment, small, st.sampled_from(["", "", "k"]), texts),
    st.builds(lambda t: p.InsertTrial(make_trial(t, _owner(t))), trial_ids),
    st.builds(_checkpoint, names, trial_ids, steps, st.sampled_from(CheckpointState)),
    st.builds(p.SetCheckpointState, names, st.sampled_from(CheckpointState)),
    st.builds(p.SetCheckpointMetadata, names, texts),
    st.builds(lambda t, r, c: p.PutRun(make_run(t, r, code=c, lines=5)), trial_ids, small, steps),
    st.builds(lambda t, x, n: p.AppendLogs((make_line(x, t),), f"1.{t}.1", n), trial_ids, texts, st.none() | steps),
    st.builds(lambda t, s: p.UpdateRunnerState(TrialId(t), s), trial_ids, texts),
    st.builds(
        lambda e, s, x: p.UpdateExperiment(ExperimentId(e), s, x, None, ""),
        small,
        st.sampled_from(ExperimentState),
        st.sampled_from([None, 0.5]),
    ),
    st.builds(
        lambda e, c: p.PatchExperiment(ExperimentId(e), c),
        small,
        st.fixed_dictionaries(
            {},
            optional={
                "name": texts,
                "labels": st.lists(texts, max_size=2).map(tuple),
                "archived": st.booleans(),
                "owner_id": st.just(2),
            },
        ),
    ),
    st.builds(lambda e: p.DeleteExperiment(ExperimentId(e)), small),
    st.builds(lambda u, n: p.PutUser(make_user(u, username=n)), small, texts),
    st.builds(
        lambda d, u: p.PutToken(Token(digest=d, user_id=UserId(u), created_at=1.0, expires_at=None)),
        names,
        small,
    ),
    st.builds(p.DropToken, names),
    st.builds(lambda e, t, d: p.PutBatch(ExperimentId(e), t, d), small, small, texts),
    st.builds(lambda e, x, s: p.PutState(ExperimentId(e), x, s, b"x"), small, names, steps),
    st.builds(lambda e, x: p.DropState(ExperimentId(e), x), small, names),
)
units = st.tuples(
    st.lists(st.one_of(common, common, rare), max_size=5), st.none() | small, st.integers(0, 9).map(lambda n: n == 0)
)
reported: st.SearchStrategy[Mutation] = st.one_of(
    *[
        st.builds(
            _report, st.integers(1, 2), small, st.sampled_from(["training", "validation", "validation"]), steps, metric
        )
    ]
    * 5,
    st.builds(_checkpoint, names, st.integers(1, 2), steps, st.sampled_from(CheckpointState)),
)
Unit = tuple[Sequence[Mutation], int | None, bool]
Groups = Sequence[Sequence[Unit]]
Played = tuple[list[Any], dict[str, Any]]

BEGIN: list[Mutation] = [
    _experiment(1, "", "one"),
    _experiment(2, "", "two"),
    *(p.InsertTrial(make_trial(t, _owner(t))) for t in (1, 2, 4)),
]


async def _play(store: Store, groups: Sequence[Sequence[Unit]]) -> tuple[list[Any], dict[str, Any]]:
    """Submit each group at once; what became of each unit, and what is stored in the end."""
    outcomes: list[Any] = []
    await store.open()
    await store.write(BEGIN)
    for group in groups:
        futures = []
        for unit, lane, reopen in group:
            if reopen and lane is not None:
                store.reopen_lane(lane)
            futures.append(store.write(unit, lane))
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert all(r is None or isinstance(r, DeterminedError) for r in results), results
        outcomes.append([type(r) for r in results])
    stored = await _everything(store)
    await store.close()
    return outcomes, stored


async def _everything(store: Store) -> dict[str, Any]:
    found: dict[str, Any] = {"ids": await store.next_ids(), "users": await store.list_users()}
    for key in ("ID", "SEARCHER_METRIC_VAL"):
        found[f"experiments by {key}"] = await store.list_experiments(ExperimentFilter(), Order(key, True), Page(1, 2))
    found["unfinished"] = await store.list_unfinished()
    found["labelled"] = await store.list_experiments(ExperimentFilter(labels=("a",), name="A"), Order(), Page())
    found["checkpoints"] = await store.list_checkpoints(None, None, [], Order("SEARCHER_METRIC"), Page(-3, 2))
    for e in (ExperimentId(1), ExperimentId(2), ExperimentId(3)):
        found[f"engine {e}"] = await store.load_engine(e)
        found[f"events {e}"] = await store.read_events(e, 2, 5)
        found[f"batches {e}"] = [await store.find_batch(e, n) for n in (1, 2, 3)]
        found[f"rows {e}"] = await store.trial_rows(e)
        found[f"tallies {e}"] = await store.tallies([p.TallyQuery(e, True), p.TallyQuery(e, False, 2.0)])
        found[f"end {e}"] = (await store.journal_end(e), await store.get_events(e, [1, 3]))
        found[f"trials {e}"] = await store.list_trials(e, [], Order("BEST_VALIDATION_METRIC"), Page())
        found[f"last lines {e}"] = (await store.last_lines(e), await store.last_line())
    for t in (TrialId(1), TrialId(2), TrialId(3), TrialId(4)):
        found[f"runs {t}"] = await store.list_runs(t)
        found[f"live {t}"] = await store.list_trial_metrics(t)
        found[f"logs {t}"] = await store.read_logs(t, LogFilter(text="a"), 0, 3, True)
        found[f"new lines {t}"] = await store.new_lines([t, TrialId(t + 1)], 2, 5)
        found[f"fields {t}"] = await store.log_fields(t)
    found["metrics"] = await store.list_metrics([TrialId(t) for t in range(1, 5)], [], 2, 8)
    found["points"] = await store.searcher_points([1, 2, 3, 4])
    found["new points"] = (await store.searcher_points([2, 4], 2), await store.last_report())
    found["states"] = await store.count_states(ExperimentFilter(name="a"))
    found["best"] = await store.best_checkpoints([TrialId(t) for t in range(1, 5)])
    return found


def _on_sqlite(groups: Groups) -> Played:
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_play(SqlStore(f"sqlite:///{folder}/store.db"), groups))


def _on_postgres(groups: Groups) -> Played:
    empty_database(database())
    return asyncio.run(_play(SqlStore(database()), groups))


@functools.cache
def database() -> str:
    """One for all examples."""
    return new_database()


def _agree(play: Callable[[Groups], Played], groups: Groups) -> None:
    outcomes, stored = play(groups)
    twin_outcomes, twin_stored = asyncio.run(_play(MemoryStore(), groups))
    assert outcomes == twin_outcomes
    for name, value in stored.items():
        assert value == twin_stored[name], name


AGREEMENT = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# Each makes a schema of its own there, which takes a quarter of a second.
ON_POSTGRES = settings(AGREEMENT, max_examples=40 if TEST_DB == "postgres" else 10)
anything = st.lists(st.lists(units, min_size=1, max_size=6), max_size=5)
only_reports = st.lists(st.lists(st.lists(reported, min_size=1, max_size=3), max_size=8), max_size=4).map(
    lambda groups: [[(unit, None, False) for unit in group] for group in groups]
)
"""Nothing but reports and checkpoints of two trials, nearly all of which are stored."""


@AGREEMENT
@given(anything)
def test_the_durable_store_and_its_twin_in_memory_agree(groups: list[list[Unit]]) -> None:
    _agree(_on_sqlite, groups)


@AGREEMENT
@given(only_reports)
def test_they_agree_about_runs_that_go_back(groups: list[list[Unit]]) -> None:
    _agree(_on_sqlite, groups)


@ON_POSTGRES
@given(anything)
def test_postgres_and_the_twin_in_memory_agree(groups: list[list[Unit]]) -> None:
    _agree(_on_postgres, groups)


@ON_POSTGRES
@given(only_reports)
def test_postgres_and_the_twin_agree_about_runs_that_go_back(groups: list[list[Unit]]) -> None:
    _agree(_on_postgres, groups)
