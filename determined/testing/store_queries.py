"""What every store promises about lists and logs: filters, orders and pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from determined.domain.ids import ExperimentId, TrialId, UserId
from determined.domain.states import ExperimentState, TrialState
from determined.errors import InvalidInput
from determined.storage import protocol as p
from determined.storage.orders import EXPERIMENT_KEYS, TRIAL_KEYS
from determined.storage.protocol import ExperimentFilter, LogFilter, Mutation, Order, Page, Store
from determined.testing.store_factories import make_experiment, make_line, make_trial, make_user
from determined.testing.store_suite import with_store

E1 = ExperimentId(1)
T1 = TrialId(1)
ALL = Page()
EXPERIMENTS: list[dict[str, Any]] = [
    {"name": "Beta", "description": "x", "labels": ("a", "b"), "owner_id": UserId(1), "created_at": 5.0},
    {"name": "alpha", "description": "50% Fast", "labels": ("ab",), "owner_id": UserId(2), "archived": True},
    {"name": "ÄRGER", "labels": ('"a"', "A"), "owner_id": UserId(3), "project_id": 2, "ended_at": 8.0},
    {"name": "alpha", "state": ExperimentState.COMPLETED, "progress": 1.0, "best_metric": 0.5, "num_trials": 3},
    {"name": "eta_1", "progress": 0.25, "best_metric": -0.5, "forked_from": 1, "checkpoint_size": 1 << 40},
    {"name": "zeta", "state": ExperimentState.PAUSED, "resource_pool": "a", "checkpoint_count": 2, "ended_at": 1.0},
]
EXPERIMENT_FIELDS = {
    "ID": "id",
    "DESCRIPTION": "description",
    "START_TIME": "created_at",
    "END_TIME": "ended_at",
    "STATE": "state",
    "NUM_TRIALS": "num_trials",
    "PROGRESS": "progress",
    "USER": "owner_id",
    "NAME": "name",
    "FORKED_FROM": "forked_from",
    "RESOURCE_POOL": "resource_pool",
    "PROJECT_ID": "project_id",
    "CHECKPOINT_SIZE": "checkpoint_size",
    "CHECKPOINT_COUNT": "checkpoint_count",
    "SEARCHER_METRIC_VAL": "best_metric",
}
TRIALS: list[dict[str, Any]] = [
    {"created_at": 5.0, "ended_at": 6.0, "restarts": 1, "total_batches": 3},
    {"created_at": 1.0, "ended_at": 9.0, "best_metric": 0.5, "latest_metric": 0.75},
    {"state": TrialState.COMPLETED, "ended_at": 2500.0, "best_metric": 0.25, "checkpoint_size": 5},
    {"state": TrialState.ERROR, "latest_metric": 0.5, "best_metric": 0.5, "restarts": 5, "total_batches": 1},
]
TRIAL_FIELDS = {
    "ID": "id",
    "START_TIME": "created_at",
    "END_TIME": "ended_at",
    "STATE": "state",
    "BEST_VALIDATION_METRIC": "best_metric",
    "LATEST_VALIDATION_METRIC": "latest_metric",
    "BATCHES_PROCESSED": "total_batches",
    "RESTARTS": "restarts",
    "CHECKPOINT_SIZE": "checkpoint_size",
}
FILTERS: list[tuple[ExperimentFilter, list[int]]] = [
    (ExperimentFilter(), [1, 2, 3, 4, 5, 6]),
    (ExperimentFilter(name="ETA"), [1, 5, 6]),
    (ExperimentFilter(name="ärg"), [3]),
    (ExperimentFilter(name="a_"), [5]),
    (ExperimentFilter(name="'; --"), []),
    (ExperimentFilter(description="% f"), [2]),
    (ExperimentFilter(description="%"), [2]),
    (ExperimentFilter(labels=("a",)), [1]),
    (ExperimentFilter(labels=("b", "a")), [1]),
    (ExperimentFilter(labels=("a", "ab")), []),
    (ExperimentFilter(labels=('"a"',)), [3]),
    (ExperimentFilter(archived=True), [2]),
    (ExperimentFilter(archived=False), [1, 3, 4, 5, 6]),
    (ExperimentFilter(states=(ExperimentState.COMPLETED, ExperimentState.PAUSED)), [4, 6]),
    (ExperimentFilter(usernames=("user2", "user3", "nobody")), [2, 3]),
    (ExperimentFilter(user_ids=(3, 9)), [3]),
    (ExperimentFilter(usernames=("user2",), user_ids=(3,)), []),
    (ExperimentFilter(project_id=2), [3]),
    (ExperimentFilter(ids=(2, 4, 9)), [2, 4]),
    (ExperimentFilter(ids=()), []),
    (ExperimentFilter(ids=tuple(range(3, 50_000))), [3, 4, 5, 6]),
    (ExperimentFilter(not_ids=(2, 4, 9)), [1, 3, 5, 6]),
    (ExperimentFilter(min_id=2, max_id=3), [2, 3]),
    (ExperimentFilter(name="alpha", archived=False, states=(ExperimentState.COMPLETED,)), [4]),
]
PAGES: list[tuple[Page, int, list[int]]] = [
    (Page(), 0, [1, 2, 3, 4, 5, 6]),
    (Page(limit=2), 0, [1, 2]),
    (Page(offset=4, limit=100), 4, [5, 6]),
    (Page(limit=0), 0, []),
    (Page(offset=6), 6, []),
    (Page(offset=60), 6, []),
    (Page(offset=-2), 4, [5, 6]),
    (Page(offset=-4, limit=1), 2, [3]),
    (Page(offset=-60, limit=1), 0, [1]),
]
LINES: list[dict[str, Any]] = [
    {"text": "one Ünit", "level": "INFO", "rank": 0, "stdtype": "stdout", "at": 1.0},
    {"text": "two units", "level": "ERROR", "rank": 10, "stdtype": "stderr", "at": 2.0},
    {"text": "100%", "source": "master", "agent_id": "a", "at": 3.0},
    {"text": "", "container_id": "c", "rank": 2, "allocation_id": "other", "at": 4.0},
]
LOG_FILTERS: list[tuple[LogFilter, list[int]]] = [
    (LogFilter(), [1, 2, 3, 4]),
    (LogFilter(levels=("INFO", "ERROR")), [1, 2]),
    (LogFilter(levels=("",)), [3, 4]),
    (LogFilter(rank_ids=(0, 2)), [1, 4]),
    (LogFilter(stdtypes=("stderr",)), [2]),
    (LogFilter(sources=("master",)), [3]),
    (LogFilter(agent_ids=("a",)), [3]),
    (LogFilter(container_ids=("c",)), [4]),
    (LogFilter(allocation_ids=("other",)), [4]),
    (LogFilter(before=3.0), [1, 2, 3]),
    (LogFilter(after=2.0), [3, 4]),
    (LogFilter(text="ÜNIT"), [1]),
    (LogFilter(text="unit"), [2]),
    (LogFilter(text="%"), [3]),
    (LogFilter(levels=("INFO",), rank_ids=(10,)), []),
]


def _experiments() -> list[Mutation]:
    users: list[Mutation] = [p.PutUser(make_user(n)) for n in (1, 2, 3)]
    return [*users, *(p.InsertExperiment(make_experiment(n, **f)) for n, f in enumerate(EXPERIMENTS, 1))]


def _trials() -> list[Mutation]:
    trials: list[Mutation] = [p.InsertTrial(make_trial(n, **f)) for n, f in enumerate(TRIALS, 1)]
    return [p.InsertExperiment(make_experiment(1)), *trials]


def _expected(rows: Sequence[Any], field: str, descending: bool) -> list[int]:
    valued = [(getattr(r, field), r.id) for r in rows if getattr(r, field) is not None]
    valued.sort(key=lambda pair: pair[0], reverse=descending)
    return [n for _, n in valued] + [r.id for r in rows if getattr(r, field) is None]


class QueriesContract:
    """Lists and logs."""

    @with_store
    async def test_experiments_are_filtered(self, store: Store) -> None:
        await store.write(_experiments())
        for where, expected in FILTERS:
            listing = await store.list_experiments(where, Order(), ALL)
            assert [e.id for e in listing.rows] == expected, where
            assert listing.total == len(expected)

    @with_store
    async def test_experiments_are_sorted_by_every_key(self, store: Store) -> None:
        await store.write(_experiments())
        rows = (await store.list_experiments(ExperimentFilter(), Order(), ALL)).rows
        assert [e.id for e in rows] == [1, 2, 3, 4, 5, 6]
        assert set(EXPERIMENT_FIELDS) == set(EXPERIMENT_KEYS)
        for key, field in EXPERIMENT_FIELDS.items():
            for descending in (False, True):
                listing = await store.list_experiments(ExperimentFilter(), Order(key, descending), ALL)
                assert [e.id for e in listing.rows] == _expected(rows, field, descending), (key, descending)

    @with_store
    async def test_experiments_come_in_pages(self, store: Store) -> None:
        await store.write(_experiments())
        for page, start, expected in PAGES:
            listing = await store.list_experiments(ExperimentFilter(), Order(), page)
            assert ([e.id for e in listing.rows], listing.start, listing.total) == (expected, start, 6), page

    @with_store
    async def test_unknown_sort_keys_are_refused(self, store: Store) -> None:
        with pytest.raises(InvalidInput, match="SEARCHER_METRIC_VAL"):
            await store.list_experiments(ExperimentFilter(), Order("id; DROP TABLE users"), ALL)
        with pytest.raises(InvalidInput, match="DURATION"):
            await store.list_trials(E1, (), Order("NAME"), ALL)

    @with_store
    async def test_unfinished_experiments_are_those_that_a_master_must_take_up(self, store: Store) -> None:
        states = list(ExperimentState)
        await store.write([p.InsertExperiment(make_experiment(n, state=state)) for n, state in enumerate(states, 1)])
        going = [state for state in states if not state.is_terminal or state is ExperimentState.DELETING]
        assert [e.state for e in await store.list_unfinished()] == going
        ended = ExperimentId(states.index(ExperimentState.COMPLETED) + 1)
        await store.write([p.PatchExperiment(id=ended, changes={"uncollected": True})])
        assert {e.state for e in await store.list_unfinished()} == {*going, ExperimentState.COMPLETED}
        await store.write([p.PatchExperiment(id=ended, changes={"uncollected": False})])
        assert [e.state for e in await store.list_unfinished()] == going

    @with_store
    async def test_trials_are_sorted_by_every_key(self, store: Store) -> None:
        await store.write(_trials())
        rows = (await store.list_trials(E1, (), Order(), ALL)).rows
        assert {*TRIAL_FIELDS, "DURATION"} == set(TRIAL_KEYS)
        for key, field in TRIAL_FIELDS.items():
            for descending in (False, True):
                listing = await store.list_trials(E1, (), Order(key, descending), ALL)
                assert [t.id for t in listing.rows] == _expected(rows, field, descending), (key, descending)
        for descending, expected in ((False, [1, 2, 3, 4]), (True, [3, 2, 1, 4])):
            listing = await store.list_trials(E1, (), Order("DURATION", descending), ALL)
            assert [t.id for t in listing.rows] == expected

    @with_store
    async def test_trials_are_filtered_by_state_and_come_in_pages(self, store: Store) -> None:
        other: list[Mutation] = [p.InsertExperiment(make_experiment(2)), p.InsertTrial(make_trial(9, 2))]
        await store.write([*_trials(), *other])
        ended = await store.list_trials(E1, [TrialState.ERROR, TrialState.COMPLETED], Order(), Page(limit=1))
        assert ([t.id for t in ended.rows], ended.total) == ([3], 2)
        last = await store.list_trials(E1, [], Order(descending=True), Page(offset=-1))
        assert ([t.id for t in last.rows], last.start, last.total) == ([1], 3, 4)
        assert await store.trial_ids(E1) == [1, 2, 3, 4]
        assert (await store.list_trials(ExperimentId(7), [], Order(), ALL)).total == 0

    @with_store
    async def test_log_lines_are_filtered(self, store: Store) -> None:
        await store.write(_trials())
        await store.write([p.AppendLogs(tuple(make_line(**fields) for fields in LINES))])
        for where, expected in LOG_FILTERS:
            assert [r.id for r in await store.read_logs(T1, where, 0, None, False)] == expected, where

    @with_store
    async def test_log_lines_are_read_from_either_end(self, store: Store) -> None:
        await store.write(_trials())
        for n in range(1, 6):
            await store.write([p.AppendLogs((make_line(f"line {n}"), make_line(f"other {n}", trial=2)))])
        everything = await store.read_logs(T1, LogFilter(), 0, None, False)
        assert [r.text for r in everything] == [f"line {n}" for n in range(1, 6)]
        newer = await store.read_logs(T1, LogFilter(), everything[1].id, 2, False)
        assert [r.text for r in newer] == ["line 3", "line 4"]
        last = await store.read_logs(T1, LogFilter(), 0, 2, True)
        assert [r.text for r in last] == ["line 5", "line 4"]
        assert await store.read_logs(TrialId(3), LogFilter(), 0, None, False) == []

    @with_store
    async def test_lines_of_several_logs_are_numbered_together(self, store: Store) -> None:
        other: list[Mutation] = [p.InsertExperiment(make_experiment(2)), p.InsertTrial(make_trial(9, 2))]
        await store.write([*_trials(), *other])
        quiet = dict.fromkeys(range(1, len(TRIALS) + 1), 0)
        assert (await store.last_line(), await store.last_lines(E1)) == (0, quiet)
        for n in (1, 2):
            await store.write([p.AppendLogs(tuple(make_line(f"line {n}", trial=t) for t in (1, 2, 9)))])
        everything = await store.new_lines([9, 1, 2, 9, 77], 0, 100)
        assert [(r.trial_id, r.text) for r in everything] == [(t, f"line {n}") for n in (1, 2) for t in (1, 2, 9)]
        ids = [r.id for r in everything]
        assert ids == sorted(set(ids))
        assert await store.new_lines([1, 9], ids[2], 100) == [everything[3], everything[5]]
        assert await store.new_lines([1, 9], ids[2], 1) == [everything[3]]
        assert await store.new_lines([], 0, 100) == []
        assert await store.last_lines(E1) == {**quiet, 1: ids[3], 2: ids[4]}
        assert await store.last_lines(E1, [2, 9, 77]) == {2: ids[4]}
        assert await store.last_line() == ids[5]
        await store.write([p.DeleteExperiment(ExperimentId(2))])
        assert await store.last_line() == ids[5]

    @with_store
    async def test_the_values_of_log_fields_are_listed_once(self, store: Store) -> None:
        await store.write(_trials())
        await store.write([p.AppendLogs(tuple(make_line(**fields) for fields in LINES))])
        assert await store.log_fields(T1) == {
            "levels": ["ERROR", "INFO"],
            "rank_ids": ["0", "2", "10"],
            "stdtypes": ["stderr", "stdout"],
            "sources": ["master"],
            "agent_ids": ["a"],
            "container_ids": ["c"],
            "allocation_ids": ["1.1.1", "other"],
        }
        assert not any((await store.log_fields(TrialId(2))).values())
