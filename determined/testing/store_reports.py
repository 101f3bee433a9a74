"""What every store promises about reports: replacing, rolling back, and the summaries that follow."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from determined.domain.ids import ExperimentId, TrialId
from determined.domain.records import Experiment, Trial
from determined.domain.states import CheckpointState
from determined.errors import InvalidInput, NotFound
from determined.storage import protocol as p
from determined.storage.protocol import Mutation, Order, Page, Store
from determined.testing.store_factories import (
    make_checkpoint,
    make_experiment,
    make_report,
    make_trial,
    trained,
    validated,
)
from determined.testing.store_suite import with_store

E1 = ExperimentId(1)
T1 = TrialId(1)
T2 = TrialId(2)
ALL = Page()
BEGIN: list[Mutation] = [
    p.InsertExperiment(make_experiment(1)),
    p.InsertTrial(make_trial(1)),
    p.InsertTrial(make_trial(2)),
]


def _summary(trial: Trial) -> tuple[int, float | None, float | None]:
    return trial.total_batches, trial.best_metric, trial.latest_metric


def _best(experiment: Experiment) -> tuple[int | None, float | None]:
    return experiment.best_trial_id, experiment.best_metric


async def _live(store: Store, trial: TrialId = T1) -> Sequence[tuple[int, str, int]]:
    return [(m.run_id, m.group, m.steps) for m in await store.list_trial_metrics(trial)]


class ReportsContract:
    """Metrics and checkpoints."""

    @with_store
    async def test_summaries_follow_reports(self, store: Store) -> None:
        await store.write([*BEGIN, trained(1, 5), validated(1, 5, 0.5), validated(1, 10, 0.7)])
        trial = await store.get_trial(T1)
        assert _summary(trial) == (10, 0.5, 0.7)
        ids = [trial.best_validation, trial.latest_validation]
        found = await store.get_metrics([i for i in ids if i is not None])
        assert [found[i].steps for i in ids if i is not None] == [5, 10]
        assert _best(await store.get_experiment(E1)) == (1, 0.5)

    @with_store
    async def test_larger_can_be_better(self, store: Store) -> None:
        reports: list[Mutation] = [
            validated(1, 1, 0.5, smaller=False),
            validated(2, 1, 0.9, smaller=False),
            validated(1, 2, 0.7, smaller=False),
        ]
        await store.write([*BEGIN, *reports])
        assert _summary(await store.get_trial(T1)) == (2, 0.7, 0.7)
        assert _best(await store.get_experiment(E1)) == (2, 0.9)

    @with_store
    async def test_the_first_of_equals_is_best(self, store: Store) -> None:
        await store.write([*BEGIN, validated(2, 1, 0.5), validated(1, 1, 0.5), validated(1, 2, 0.5)])
        assert _best(await store.get_experiment(E1)) == (1, 0.5)
        best = (await store.get_trial(T1)).best_validation
        assert best is not None
        assert (await store.get_metrics([best]))[best].steps == 1

    @with_store
    async def test_a_metric_that_is_not_finite_is_latest_but_never_best(self, store: Store) -> None:
        await store.write([*BEGIN, validated(1, 1, None)])
        trial = await store.get_trial(T1)
        assert (trial.best_validation, trial.latest_metric) == (None, None)
        assert trial.latest_validation is not None
        assert _best(await store.get_experiment(E1)) == (None, None)

    @with_store
    async def test_only_validations_with_the_searcher_metric_are_ranked(self, store: Store) -> None:
        other = make_report(1, 1, "custom", 9, 0.1)
        without = make_report(1, 1, "validation", 8, None, has_searcher_metric=False)
        await store.write([*BEGIN, p.PutMetrics(other, True), p.PutMetrics(without, True)])
        trial = await store.get_trial(T1)
        assert _summary(trial) == (9, None, None)
        assert trial.latest_validation is None

    @with_store
    async def test_a_repeated_report_replaces_the_first(self, store: Store) -> None:
        await store.write([*BEGIN, validated(1, 1, 0.2), validated(2, 1, 0.3)])
        first = (await store.get_trial(T1)).best_validation
        await store.write([validated(1, 1, 0.9, metrics='{"loss": 0.9}')])
        trial = await store.get_trial(T1)
        assert trial.best_validation == first
        assert _summary(trial) == (1, 0.9, 0.9)
        assert [m.metrics for m in await store.list_trial_metrics(T1)] == ['{"loss": 0.9}']
        assert _best(await store.get_experiment(E1)) == (2, 0.3)

    @with_store
    async def test_a_report_may_be_repeated_in_one_unit(self, store: Store) -> None:
        await store.write([*BEGIN, *(validated(1, 1, m) for m in (0.5, 0.1, 0.7)), validated(1, 0, 0.9)])
        assert await _live(store) == [(1, "validation", 0), (1, "validation", 1)]
        assert _summary(await store.get_trial(T1)) == (1, 0.7, 0.7)

    @with_store
    async def test_a_run_that_went_back_archives_what_older_runs_reported_ahead(self, store: Store) -> None:
        unit = [trained(1, 10), validated(1, 10, 0.5), trained(1, 20), validated(1, 20, 0.1), trained(1, 30)]
        await store.write([*BEGIN, *unit, validated(2, 10, 0.2)])
        assert _best(await store.get_experiment(E1)) == (1, 0.1)
        await store.write([trained(1, 20, run=2)])
        assert await _live(store) == [
            (1, "training", 10),
            (1, "validation", 10),
            (1, "validation", 20),
            (2, "training", 20),
        ]
        assert _summary(await store.get_trial(T1)) == (20, 0.1, 0.1)
        await store.write([validated(1, 15, 0.4, run=2)])
        assert _summary(await store.get_trial(T1)) == (20, 0.4, 0.4)
        assert _best(await store.get_experiment(E1)) == (2, 0.2)

    @with_store
    async def test_rolling_everything_back_empties_the_summary(self, store: Store) -> None:
        await store.write([*BEGIN, validated(1, 10, 0.5), validated(1, 20, 0.1)])
        await store.write([trained(1, 1, run=2)])
        assert _summary(await store.get_trial(T1)) == (1, None, None)
        assert _best(await store.get_experiment(E1)) == (None, None)
        assert await _live(store) == [(2, "training", 1)]

    @with_store
    async def test_each_newer_run_may_go_back_again(self, store: Store) -> None:
        await store.write([*BEGIN, *(validated(1, n, 1.0 / n) for n in (1, 2, 3, 4))])
        await store.write([validated(1, 3, 5.0, run=2), validated(1, 4, 6.0, run=2)])
        await store.write([validated(1, 4, 7.0, run=3), trained(1, 4, run=3), trained(1, 5, run=3)])
        assert _summary(await store.get_trial(T1)) == (5, 0.5, 7.0)
        assert [run for run, group, _ in await _live(store) if group == "validation"] == [1, 1, 2, 3]

    @with_store
    async def test_streams_show_archived_reports_too(self, store: Store) -> None:
        await store.write([*BEGIN, validated(1, 5, 0.5), trained(2, 5), trained(1, 1, run=2)])
        found = await store.list_metrics([T1, T2], ["validation", "training"], 0, 10)
        assert [(m.trial_id, m.group, m.archived) for m in found] == [
            (1, "validation", True),
            (2, "training", False),
            (1, "training", False),
        ]
        assert [m.id for m in await store.list_metrics([T2, T1], [], found[0].id, 1)] == [found[1].id]
        assert await store.list_metrics([T1], ["custom"], 0, 10) == []
        assert await store.list_metrics([], [], 0, 10) == []

    @with_store
    async def test_reports_are_kept_as_they_came(self, store: Store) -> None:
        texts = {"metrics": '{"a": 1, "b": 1.0, "c": "NaN"}', "batch_metrics": '[{"a": 1}]'}
        await store.write([*BEGIN, p.PutMetrics(make_report(1, 1, "training", 1, None, **texts), True)])
        found = await store.list_trial_metrics(T1)
        assert found == [make_report(1, 1, "training", 1, None, **texts, id=found[0].id)]

    @with_store
    async def test_checkpoints_are_counted(self, store: Store) -> None:
        await store.write([*BEGIN, p.PutCheckpoint(make_checkpoint("a")), p.PutCheckpoint(make_checkpoint("b"))])
        await store.write([p.PutCheckpoint(make_checkpoint("b", trial=2, size=5))])
        for owner in (await store.get_trial(T1), await store.get_trial(T2)):
            assert (owner.checkpoint_count, owner.checkpoint_size) == (1, 10 if owner.id == 1 else 5)
        await store.write([p.SetCheckpointState("a", CheckpointState.DELETED)])
        await store.write([p.SetCheckpointState("a", CheckpointState.DELETED)])
        experiment = await store.get_experiment(E1)
        assert (experiment.checkpoint_count, experiment.checkpoint_size) == (1, 5)
        assert (await store.get_trial(T1)).checkpoint_size == 0
        await store.write([p.SetCheckpointMetadata("a", '{"x": 1}')])
        found = (await store.get_checkpoint("a")).checkpoint
        assert (found.metadata, found.state) == ('{"x": 1}', CheckpointState.DELETED)

    @with_store
    async def test_a_checkpoint_comes_with_the_reports_at_its_steps(self, store: Store) -> None:
        await store.write([*BEGIN, trained(1, 5), validated(1, 5, 0.5), validated(1, 6, 0.6)])
        await store.write([p.PutCheckpoint(make_checkpoint("a", steps=5)), p.PutCheckpoint(make_checkpoint("b"))])
        view = await store.get_checkpoint("a")
        assert view.training is not None
        assert view.validation is not None
        assert (view.training.steps, view.validation.searcher_metric, view.hparams) == (5, 0.5, '{"lr": 1.0}')
        bare = await store.get_checkpoint("b")
        assert (bare.training, bare.validation) == (None, None)
        await store.write([trained(1, 1, run=2)])
        assert (await store.get_checkpoint("a")).validation is None
        with pytest.raises(NotFound, match="checkpoint c not found"):
            await store.get_checkpoint("c")

    @with_store
    async def test_the_best_checkpoint_has_the_best_validation_at_its_steps(self, store: Store) -> None:
        reports = [validated(1, n, m) for n, m in ((1, 0.4), (2, 0.1), (3, 0.3), (4, 0.3), (5, None))]
        states = {2: CheckpointState.DELETED}
        saved: list[Mutation] = [
            p.PutCheckpoint(make_checkpoint(f"c{n}", steps=n, state=states.get(n, CheckpointState.COMPLETED)))
            for n in (5, 4, 3, 2, 1, 9)
        ]
        await store.write([*BEGIN, *reports, *saved])
        found = await store.best_checkpoints([T1, T2])
        assert {trial: view.checkpoint.uuid for trial, view in found.items()} == {1: "c3"}
        assert await store.best_checkpoints([]) == {}

    @with_store
    async def test_checkpoints_that_trials_start_from_are_known(self, store: Store) -> None:
        await store.write([*BEGIN, p.InsertTrial(make_trial(3, warm_start="a"))])
        assert await store.warm_starts(["a", "b"]) == {"a"}
        assert await store.warm_starts([]) == frozenset()

    @with_store
    async def test_checkpoints_are_listed_in_any_order(self, store: Store) -> None:
        rows = [("a", 2, 3, 0.5), ("b", 1, 1, None), ("c", 1, 2, 0.5), ("d", 2, 4, 0.1)]
        for name, trial, steps, metric in rows:
            await store.write(BEGIN if name == "a" else [])
            await store.write([p.PutCheckpoint(make_checkpoint(name, trial, steps)), validated(trial, steps, metric)])
        await store.write([p.SetCheckpointState("d", CheckpointState.DELETED)])
        expected = {
            "ID": ("abcd", "dcba"),
            "UUID": ("abcd", "dcba"),
            "TRIAL_ID": ("bcad", "adbc"),
            "BATCH_NUMBER": ("bcad", "dacb"),
            "END_TIME": ("bcad", "dacb"),
            "STATE": ("abcd", "dabc"),
            "SEARCHER_METRIC": ("dacb", "acdb"),
        }
        for key, texts in expected.items():
            for descending, text in zip((False, True), texts, strict=True):
                listing = await store.list_checkpoints(E1, None, (), Order(key, descending), ALL)
                assert "".join(v.checkpoint.uuid for v in listing.rows) == text, (key, descending)
        with pytest.raises(InvalidInput, match="TRIAL_ID"):
            await store.list_checkpoints(E1, None, (), Order("NOPE"), ALL)

    @with_store
    async def test_checkpoints_are_listed_of_a_trial_and_by_state(self, store: Store) -> None:
        await store.write([*BEGIN, p.InsertExperiment(make_experiment(2)), p.InsertTrial(make_trial(3, 2))])
        await store.write(
            [
                p.PutCheckpoint(make_checkpoint("a")),
                p.PutCheckpoint(make_checkpoint("b", state=CheckpointState.DELETED)),
                p.PutCheckpoint(make_checkpoint("c", trial=2)),
                p.PutCheckpoint(make_checkpoint("d", trial=3, experiment_id=ExperimentId(2))),
            ]
        )
        order = Order("UUID")
        live = [CheckpointState.COMPLETED]
        for experiment, trial, states, page, expected in (
            (E1, None, [], ALL, "abc"),
            (None, T1, [], ALL, "ab"),
            (None, T1, live, ALL, "a"),
            (None, None, [], Page(offset=-2), "cd"),
            (E1, None, [], Page(offset=1, limit=1), "b"),
        ):
            listing = await store.list_checkpoints(experiment, trial, states, order, page)
            assert "".join(v.checkpoint.uuid for v in listing.rows) == expected
