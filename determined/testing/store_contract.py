"""What every store promises about units: all or nothing, in order, and told apart when they fail.

A test module subclasses ``StoreContract`` and gives a ``store`` fixture that returns a new store that is not open yet.
``store_queries.py`` holds the same for lists, ``store_columns.py`` for tables and charts, and ``store_reports.py`` for
metrics and checkpoints.
"""

from __future__ import annotations

import asyncio

import pytest

from determined.domain.ids import ExperimentId, RunId, TrialId, UserId
from determined.domain.records import Token
from determined.domain.states import CheckpointState, ExperimentState, RunPhase, TrialState
from determined.errors import Conflict, InvalidInput, NotFound, StorageFailed
from determined.storage import protocol as p
from determined.storage.protocol import Mutation, Store
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
from determined.testing.store_suite import outcome, outcomes, with_store

E1 = ExperimentId(1)
T1 = TrialId(1)
BEGIN: list[Mutation] = [
    p.PutUser(make_user(1)),
    p.InsertExperiment(make_experiment(1)),
    p.InsertTrial(make_trial(1)),
]
CONFLICTS: list[Mutation] = [
    p.PutUser(make_user(2, username="user1")),
    p.InsertExperiment(make_experiment(1)),
    p.InsertExperiment(make_experiment(2, client_key="key")),
    p.InsertTrial(make_trial(1)),
    p.InsertTrial(make_trial(2, request_id=make_trial(1).request_id)),
    p.AppendJournal(make_fact(1)),
    p.AppendEvent(make_event(1)),
]
STRAYS: list[Mutation] = [
    p.UpdateExperiment(ExperimentId(9), ExperimentState.PAUSED, None, None, ""),
    p.PatchExperiment(ExperimentId(9), {"name": "x"}),
    p.PatchExperiment(ExperimentId(9), {}),
    p.DeleteExperiment(ExperimentId(9)),
    p.InsertTrial(make_trial(9, experiment=9)),
    p.UpdateTrial(TrialId(9), TrialState.ACTIVE, RunId(1), None, 0, False, None),
    p.UpdateTrialUnits(TrialId(9), 1.0),
    p.UpdateRunnerState(TrialId(9), "training"),
    p.PutRun(make_run(trial=9)),
    validated(9, 1, 0.5),
    p.PutCheckpoint(make_checkpoint("c", trial=9)),
    p.SetCheckpointState("nothing", CheckpointState.DELETED),
    p.SetCheckpointMetadata("nothing", "{}"),
    p.AppendLogs((make_line("text", trial=9),)),
    p.AppendLogs((), "no such run", 3),
    p.AppendJournal(make_fact(1, experiment=9)),
    p.AppendEvent(make_event(1, experiment=9)),
    p.PutBatch(ExperimentId(9), 1, "digest"),
    p.PutState(ExperimentId(9), "method", 1, b""),
]


class StoreContract:
    """Units, lanes, identity and the durable parts of a search."""

    @with_store
    async def test_a_unit_is_seen_by_every_read_after_its_future(self, store: Store) -> None:
        await store.write([*BEGIN, p.AppendJournal(make_fact(1)), p.AppendEvent(make_event(1))])
        assert await store.get_experiment(E1) == make_experiment(1, num_trials=1)
        assert await store.get_trial(T1) == make_trial(1)
        assert await store.read_journal(E1, 0, 10) == [make_fact(1)]
        assert await store.read_events(E1, 0, 10) == [make_event(1)]

    @with_store
    async def test_futures_resolve_in_the_order_of_the_writes(self, store: Store) -> None:
        await store.write(BEGIN)
        seen: list[int] = []
        futures = [store.write([p.AppendJournal(make_fact(n))]) for n in range(100)]
        for n, future in enumerate(futures):
            future.add_done_callback(lambda _, n=n: seen.append(n))  # type: ignore[misc]
        await asyncio.gather(*futures)
        await asyncio.sleep(0)
        assert seen == list(range(100))

    @with_store
    async def test_a_failing_unit_leaves_nothing_and_does_not_harm_its_neighbours(self, store: Store) -> None:
        await store.write([*BEGIN, p.AppendJournal(make_fact(7))])
        units: list[list[Mutation]] = [[p.AppendJournal(make_fact(n)), trained(1, n)] for n in range(1, 15)]
        assert await outcomes(store, units) == [Conflict if n == 7 else None for n in range(1, 15)]
        assert [m.steps for m in await store.list_trial_metrics(T1)] == [n for n in range(1, 15) if n != 7]
        assert [row.seq for row in await store.read_journal(E1, 0, 99)] == list(range(1, 15))

    @with_store
    async def test_what_a_unit_did_before_it_failed_is_taken_back(self, store: Store) -> None:
        await store.write([*BEGIN, p.PutCheckpoint(make_checkpoint("old")), p.AppendJournal(make_fact(1))])
        before = (await store.get_experiment(E1), await store.get_trial(T1), await store.next_ids())
        unit: list[Mutation] = [
            p.InsertExperiment(make_experiment(5)),
            p.InsertTrial(make_trial(5)),
            p.PatchExperiment(E1, {"name": "other", "labels": ("a",)}),
            validated(1, 1, 0.1),
            p.SetCheckpointState("old", CheckpointState.DELETED),
            p.PutCheckpoint(make_checkpoint("new")),
            p.DropState(E1, "method"),
            p.AppendJournal(make_fact(1)),
        ]
        assert await outcome(store, unit) is Conflict
        assert (await store.get_experiment(E1), await store.get_trial(T1), await store.next_ids()) == before
        assert (await store.get_checkpoint("old")).checkpoint == make_checkpoint("old")
        with pytest.raises(NotFound):
            await store.get_checkpoint("new")

    @with_store
    async def test_what_exists_already_is_a_conflict(self, store: Store) -> None:
        keyed = p.InsertExperiment(make_experiment(3, client_key="key"))
        await store.write([*BEGIN, keyed, p.AppendJournal(make_fact(1)), p.AppendEvent(make_event(1))])
        for mutation in CONFLICTS:
            assert await outcome(store, [mutation]) is Conflict, mutation
        assert await outcome(store, [p.InsertExperiment(make_experiment(4, client_key="other"))]) is None
        assert await outcome(store, [p.InsertExperiment(make_experiment(5))]) is None

    @with_store
    async def test_what_belongs_to_nothing_is_not_found(self, store: Store) -> None:
        await store.write(BEGIN)
        for mutation in STRAYS:
            assert await outcome(store, [mutation]) is NotFound, mutation

    @with_store
    async def test_a_row_must_not_come_before_what_it_belongs_to(self, store: Store) -> None:
        await store.write(BEGIN)
        early: list[Mutation] = [p.AppendJournal(make_fact(1, experiment=2))]
        late: list[Mutation] = [p.InsertExperiment(make_experiment(2))]
        # The first unit keeps a store busy that gathers units while it commits.
        assert await outcomes(store, [[], early, late]) == [None, NotFound, None]
        assert await outcome(store, early) is None
        unit: list[Mutation] = [p.UpdateTrialUnits(TrialId(2), 1.0), p.InsertTrial(make_trial(2))]
        assert await outcome(store, unit) is NotFound

    @with_store
    async def test_only_what_people_may_edit_can_be_patched(self, store: Store) -> None:
        await store.write(BEGIN)
        assert await outcome(store, [p.PatchExperiment(E1, {"owner_id": 2})]) is InvalidInput
        assert await outcome(store, [p.PatchExperiment(E1, {"state": "no such state"})]) is InvalidInput
        changes = {"labels": ["a", 'b"\n,c', ""], "archived": True, "epoch": 4, "config": "{}", "notes": "n"}
        await store.write([p.PatchExperiment(E1, {**changes, "state": ExperimentState.DELETING})])
        found = await store.get_experiment(E1)
        assert found.labels == ("a", 'b"\n,c', "")
        assert (found.archived, found.epoch, found.config, found.notes) == (True, 4, "{}", "n")
        assert found.state is ExperimentState.DELETING

    @with_store
    async def test_a_failure_closes_its_lane_until_it_is_reopened(self, store: Store) -> None:
        await store.write([*BEGIN, p.InsertExperiment(make_experiment(2)), p.AppendJournal(make_fact(1))])
        bad = store.write([p.AppendJournal(make_fact(1))], 1)
        behind = [store.write([p.AppendJournal(make_fact(n))], 1) for n in (2, 3)]
        others = [store.write([p.AppendJournal(make_fact(n, experiment=2))], 2) for n in (2, 3)]
        laneless = store.write([p.AppendJournal(make_fact(4))])
        results = await asyncio.gather(bad, *behind, *others, laneless, return_exceptions=True)
        assert [type(r) for r in results[:3]] == [Conflict, StorageFailed, StorageFailed]
        assert results[3:] == [None, None, None]
        assert await outcome(store, [p.AppendJournal(make_fact(5))], 1) is StorageFailed
        store.reopen_lane(1)
        assert await outcome(store, [p.AppendJournal(make_fact(6))], 1) is None
        assert [row.seq for row in await store.read_journal(E1, 0, 99)] == [1, 4, 6]

    @with_store
    async def test_units_submitted_before_the_reopening_still_fail(self, store: Store) -> None:
        await store.write([*BEGIN, p.AppendJournal(make_fact(1))])
        futures = [store.write([p.AppendJournal(make_fact(n))], 1) for n in (1, 2)]
        store.reopen_lane(1)
        futures.append(store.write([p.AppendJournal(make_fact(3))], 1))
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert [type(r) for r in results] == [Conflict, StorageFailed, type(None)]

    @with_store
    async def test_a_closed_store_refuses(self, store: Store) -> None:
        await store.close()
        assert await outcome(store, BEGIN) is StorageFailed

    @with_store
    async def test_an_empty_unit_is_stored(self, store: Store) -> None:
        assert await outcome(store, []) is None

    @with_store
    async def test_users_and_logins_come_and_go(self, store: Store) -> None:
        token = Token(digest="d", user_id=UserId(1), created_at=1.0, expires_at=None)
        await store.write([p.PutUser(make_user(2)), p.PutUser(make_user(1)), p.PutToken(token)])
        await store.write([p.PutUser(make_user(1, username="renamed", admin=True))])
        assert await store.list_users() == [make_user(1, username="renamed", admin=True), make_user(2)]
        assert await store.find_user("user1") is None
        assert await store.get_user(UserId(2)) == make_user(2)
        assert await store.find_token("d") == token
        await store.write([p.DropToken("d"), p.DropToken("unknown")])
        assert await store.find_token("d") is None
        with pytest.raises(NotFound):
            await store.get_user(UserId(3))

    @with_store
    async def test_a_name_can_move_to_another_user_in_one_unit(self, store: Store) -> None:
        await store.write([p.PutUser(make_user(1)), p.PutUser(make_user(2))])
        swap = [make_user(1, username="x"), make_user(2, username="user1"), make_user(1, username="user2")]
        assert await outcome(store, [p.PutUser(user) for user in swap]) is None
        assert [u.username for u in await store.list_users()] == ["user2", "user1"]

    @with_store
    async def test_meta_keeps_its_first_value(self, store: Store) -> None:
        assert await store.get_meta("cluster", "one") == "one"
        assert await store.get_meta("cluster", "two") == "one"

    @with_store
    async def test_a_submission_is_found_by_its_key(self, store: Store) -> None:
        experiment = make_experiment(1, client_key="key", submission="digest")
        await store.write([p.InsertExperiment(experiment), p.InsertExperiment(make_experiment(2))])
        assert await store.find_by_client_key(UserId(1), "key") == experiment
        assert await store.find_by_client_key(UserId(2), "key") is None
        assert await store.find_by_client_key(UserId(1), "") is None

    @with_store
    async def test_the_engine_changes_experiments_and_trials(self, store: Store) -> None:
        await store.write(BEGIN)
        state = ExperimentState.COMPLETED
        await store.write(
            [
                p.UpdateTrial(T1, TrialState.ACTIVE, RunId(1), RunPhase.QUEUED, 0, False, None),
                p.UpdateTrialUnits(T1, 2.0),
                p.UpdateTrial(T1, TrialState.COMPLETED, RunId(2), None, 1, True, 9.0),
                p.UpdateRunnerState(T1, "training"),
                p.UpdateExperiment(E1, state, 1.0, 10.0, "done"),
            ]
        )
        trial = await store.get_trial(T1)
        assert (trial.state, trial.run_id, trial.phase, trial.restarts) == (TrialState.COMPLETED, 2, None, 1)
        assert (trial.closed, trial.ended_at, trial.units, trial.runner_state) == (True, 9.0, 2.0, "training")
        found = await store.get_experiment(E1)
        assert (found.state, found.progress, found.ended_at, found.message) == (state, 1.0, 10.0, "done")
        assert await store.list_unfinished() == []

    @with_store
    async def test_a_run_keeps_its_count_of_lines(self, store: Store) -> None:
        await store.write([*BEGIN, p.PutRun(make_run(run=2)), p.PutRun(make_run(run=1))])
        await store.write([p.AppendLogs((make_line("a"),), "1.1.1", 1)])
        await store.write([p.PutRun(make_run(run=1, code=0, ended_at=1.0, lines=99))])
        runs = await store.list_runs(T1)
        assert runs == [make_run(run=1, code=0, ended_at=1.0, lines=1), make_run(run=2)]
        assert await store.find_run("1.1.2") == make_run(run=2)
        assert await store.find_run("unknown") is None

    @with_store
    async def test_an_engine_is_restored_from_its_parts_and_the_journal_after_them(self, store: Store) -> None:
        facts: list[Mutation] = [p.AppendJournal(make_fact(n)) for n in range(1, 6)]
        await store.write([*BEGIN, *facts])
        assert (await store.load_engine(E1)).journal == [make_fact(n) for n in range(1, 6)]
        saved: list[Mutation] = [
            p.PutState(E1, "experiment", 2, b"old"),
            p.PutState(E1, "1", 2, b"trial"),
            p.PutState(E1, "experiment", 3, b"new"),
        ]
        await store.write([*saved, p.PutState(E1, "2", 3, b"gone"), p.DropState(E1, "2")])
        await store.write([p.DropState(E1, "unknown")])
        engine = await store.load_engine(E1)
        assert engine.parts == {"experiment": (3, b"new"), "1": (2, b"trial")}
        assert [row.seq for row in engine.journal] == [4, 5]
        assert (await store.load_engine(ExperimentId(9))).parts == {}
        assert await store.find_state(E1, "experiment") == b"new"
        assert await store.find_state(E1, "2") is None
        assert await store.find_state(ExperimentId(9), "experiment") is None

    @with_store
    async def test_the_queue_and_its_answers_are_remembered(self, store: Store) -> None:
        await store.write([*BEGIN, *(p.AppendEvent(make_event(n)) for n in (1, 2, 3))])
        assert [e.id for e in await store.read_events(E1, 1, 1)] == [2]
        assert [e.id for e in await store.read_events(E1, 1, 9)] == [2, 3]
        await store.write([p.PutBatch(E1, 2, "digest")])
        assert await store.find_batch(E1, 2) == "digest"
        assert await store.find_batch(E1, 3) is None

    @with_store
    async def test_ids_of_deleted_rows_are_not_used_again(self, store: Store) -> None:
        assert await store.next_ids() == (1, 1, 1)
        await store.write([*BEGIN, p.InsertExperiment(make_experiment(7)), p.InsertTrial(make_trial(8, 7))])
        await store.write([p.DeleteExperiment(ExperimentId(7))])
        assert await store.next_ids() == (8, 9, 2)

    @with_store
    async def test_a_deleted_experiment_leaves_nothing(self, store: Store) -> None:
        everything: list[Mutation] = [
            p.PutRun(make_run()),
            p.AppendLogs((make_line("a"),), "1.1.1", 1),
            validated(1, 1, 0.5),
            p.PutCheckpoint(make_checkpoint("c")),
            p.AppendJournal(make_fact(1)),
            p.AppendEvent(make_event(1)),
            p.PutBatch(E1, 1, "digest"),
            p.PutState(E1, "method", 1, b""),
        ]
        others: list[Mutation] = [p.InsertExperiment(make_experiment(2)), p.InsertTrial(make_trial(2, 2))]
        await store.write([*BEGIN, *others, *everything])
        await store.write([p.DeleteExperiment(E1)])
        assert await outcome(store, [validated(1, 2, 0.5)]) is NotFound
        with pytest.raises(NotFound, match="experiment 1 not found"):
            await store.get_experiment(E1)
        with pytest.raises(NotFound):
            await store.get_checkpoint("c")
        assert await store.find_run("1.1.1") is None
        assert await store.get_metrics([1]) == {}
        assert await store.read_logs(T1, p.LogFilter(), 0, None, False) == []
        assert (await store.load_engine(E1)).journal == []
        assert await store.read_events(E1, 0, 9) == []
        assert await store.trial_ids(E1) == []
        assert await store.trial_ids(ExperimentId(2)) == [2]
        await store.write([*BEGIN[1:], *everything])
        assert (await store.get_trial(T1)).best_metric == 0.5
