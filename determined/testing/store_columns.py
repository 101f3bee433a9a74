"""What every store promises about the queries for tables and charts."""

from __future__ import annotations

from msgspec.structs import replace

from determined.domain.ids import ExperimentId, RunId, TrialId
from determined.domain.states import ExperimentState, RunPhase, TrialState
from determined.storage import protocol as p
from determined.storage.protocol import ExperimentFilter, Mutation, SearcherPoint, Store, TallyQuery, TrialRow
from determined.testing.store_factories import (
    make_checkpoint,
    make_event,
    make_experiment,
    make_fact,
    make_report,
    make_trial,
    make_user,
    trained,
    validated,
)
from determined.testing.store_suite import with_store

E1, E2 = ExperimentId(1), ExperimentId(2)
BEGIN: list[Mutation] = [
    p.PutUser(make_user(1)),
    p.InsertExperiment(make_experiment(1)),
    p.InsertExperiment(make_experiment(2, state=ExperimentState.PAUSED, archived=True)),
]


def _ended(trial: int, state: TrialState) -> Mutation:
    return p.UpdateTrial(TrialId(trial), state, RunId(1), None, 0, True, 9000.0)


class ColumnsContract:
    """Rows of trials, points of curves, counts."""

    @with_store
    async def test_rows_of_trials_hold_what_tables_show(self, store: Store) -> None:
        await store.write([*BEGIN, *(p.InsertTrial(make_trial(n)) for n in (1, 2)), p.InsertTrial(make_trial(3, 2))])
        await store.write([trained(2, 1), validated(2, 1, 0.5), validated(2, 2, 0.25), validated(2, 3, 0.75)])
        await store.write([p.PutCheckpoint(make_checkpoint("c", trial=2)), p.UpdateTrialUnits(TrialId(2), 1.5)])
        running = p.UpdateTrial(TrialId(2), TrialState.ACTIVE, RunId(1), RunPhase.RUNNING, 4, False, None)
        await store.write([running])
        first = TrialRow(1, "ACTIVE", None, 0.0, 0, None, None, None, 0, 0, 2001.0, None, '{"lr": 1.0}')
        second = TrialRow(2, "ACTIVE", "RUNNING", 1.5, 3, 0.25, 2, 0.75, 1, 4, 2002.0, None, '{"lr": 1.0}')
        assert await store.trial_rows(E1) == [first, second]
        assert await store.trial_rows(E1, [2, 3, 2, 9]) == [second]
        assert await store.trial_rows(E1, []) == []
        assert [row.id for row in await store.trial_rows(E2)] == [3]

    @with_store
    async def test_points_are_finite_live_values_of_the_searched_metric(self, store: Store) -> None:
        await store.write([*BEGIN, *(p.InsertTrial(make_trial(n)) for n in (1, 2))])
        assert await store.last_report() == 0
        await store.write([validated(2, 1, 0.5), trained(1, 1), validated(1, 2, None), validated(1, 3, 0.25)])
        await store.write([validated(1, 1, 0.75)])
        await store.write([p.PutMetrics(make_report(1, 1, "other", 5, 1.0), True), validated(1, 6, 2.0)])
        points = await store.searcher_points([1, 2, 3])
        assert [(t, s, m) for _, t, s, m in points] == [(1, 1, 0.75), (1, 3, 0.25), (1, 6, 2.0), (2, 1, 0.5)]
        last = await store.last_report()
        assert last == max(point.report_id for point in points)
        # A run that goes back makes what lies ahead of it void.
        await store.write([validated(1, 3, 0.125, run=2)])
        again = await store.searcher_points([1])
        assert [(s, m) for _, _, s, m in again] == [(1, 0.75), (3, 0.125)]
        assert await store.searcher_points([1, 2], last) == [SearcherPoint(again[1].report_id, 1, 3, 0.125)]

    @with_store
    async def test_trials_are_counted(self, store: Store) -> None:
        assert await store.tallies([]) == []
        await store.write([*BEGIN, *(p.InsertTrial(make_trial(n)) for n in range(1, 101))])
        await store.write([p.UpdateTrialUnits(TrialId(n), float(n % 4)) for n in range(1, 11)])
        await store.write([_ended(n, TrialState.COMPLETED) for n in range(1, 9)])
        await store.write([_ended(9, TrialState.ERROR), _ended(10, TrialState.CANCELED)])
        await store.write([validated(n, 1, float(n)) for n in range(1, 101) if n not in (7, 96, 97, 98)])
        one, other, empty = await store.tallies(
            [TallyQuery(E1, True), TallyQuery(E1, False, 2.0), TallyQuery(E2, True)]
        )
        assert one.states == other.states == {"ACTIVE": 90, "COMPLETED": 8, "ERROR": 1, "CANCELED": 1}
        # Those without units count by their batches, of which each has one.
        assert (one.longest, one.short, other.longest, other.short) == (3.0, 6, 2.0, 4)
        # A hundred trials in forty stretches of two or three; the last but one has no metric.
        assert list(one.best[:4]) == [1.0, 4.0, 6.0, 9.0]
        assert (len(one.best), one.best[-1]) == (39, 99.0)
        assert (other.best[0], other.best[-1]) == (3.0, 100.0)
        assert (dict(empty.states), empty.short, list(empty.best)) == ({}, 0, [])

    @with_store
    async def test_experiments_are_counted_by_state(self, store: Store) -> None:
        await store.write([*BEGIN, p.InsertExperiment(make_experiment(3))])
        everything = await store.count_states(ExperimentFilter())
        assert everything == {ExperimentState.ACTIVE: 2, ExperimentState.PAUSED: 1}
        assert await store.count_states(ExperimentFilter(archived=True)) == {ExperimentState.PAUSED: 1}

    @with_store
    async def test_facts_and_events_are_found_by_number_and_facts_by_kind(self, store: Store) -> None:
        facts = [replace(make_fact(n), kind="odd" if n % 2 else "even") for n in range(1, 6)]
        await store.write([*BEGIN, *(p.AppendJournal(fact) for fact in facts), p.AppendJournal(make_fact(7, 2))])
        await store.write([p.AppendEvent(make_event(n)) for n in range(1, 6)])
        assert [row.seq for row in await store.read_journal(E1, 1, 9, ["odd"])] == [3, 5]
        assert [row.seq for row in await store.read_journal(E1, 1, 1, ["odd", "none"])] == [3]
        assert [row.seq for row in await store.get_journal(E1, [4, 1, 7, 4])] == [1, 4]
        assert [row.id for row in await store.get_events(E1, [5, 2, 9])] == [2, 5]
        assert [await store.journal_end(e) for e in (E1, E2, ExperimentId(3))] == [5, 7, 0]
