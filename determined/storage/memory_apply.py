"""How each mutation changes the tables of the in-memory store. Kept naive: it is what the other stores are held to."""

from __future__ import annotations

import functools
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from determined.domain.ids import TrialId
from determined.domain.records import Checkpoint, Experiment, Trial
from determined.domain.states import CheckpointState, ExperimentState
from determined.storage import protocol as p
from determined.storage.faults import conflict, missing
from determined.storage.memory_tables import Tables
from determined.storage.orders import check_changes

V = TypeVar("V")
W = TypeVar("W", Trial, Experiment)


def _existing(table: dict[Any, V], key: Any, mutation: Any) -> V:
    if key not in table:
        raise missing(mutation)
    return table[key]


@functools.singledispatch
def apply(mutation: Any, tables: Tables) -> None:
    """Change the tables as one mutation says.

    Raises:
        Conflict, NotFound, InvalidInput: see ``Store.write``; changes made before are the caller's to take back.
    """
    raise TypeError(f"{type(mutation).__name__} is not a mutation")


@apply.register
def _(m: p.PutUser, t: Tables) -> None:
    if any(u.username == m.user.username and u.id != m.user.id for u in t.users.values()):
        raise conflict(m)
    t.put(t.users, m.user.id, m.user)
    t.raise_high("users", m.user.id)


@apply.register
def _(m: p.PutToken, t: Tables) -> None:
    t.put(t.tokens, m.token.digest, m.token)


@apply.register
def _(m: p.DropToken, t: Tables) -> None:
    t.drop(t.tokens, m.digest)


@apply.register
def _(m: p.InsertExperiment, t: Tables) -> None:
    e = m.experiment
    if e.id in t.experiments:
        raise conflict(m)
    if e.client_key:
        if (e.owner_id, e.client_key) in t.by_client_key:
            raise conflict(m)
        t.put(t.by_client_key, (e.owner_id, e.client_key), e.id)
    t.put(t.experiments, e.id, e)
    t.raise_high("experiments", e.id)


@apply.register
def _(m: p.UpdateExperiment, t: Tables) -> None:
    old = _existing(t.experiments, m.id, m)
    new = replace(old, state=m.state, progress=m.progress, ended_at=m.ended_at, message=m.message)
    t.put(t.experiments, m.id, new)


@apply.register
def _(m: p.PatchExperiment, t: Tables) -> None:
    check_changes(list(m.changes))
    old = _existing(t.experiments, m.id, m)
    changes = dict(m.changes)
    if "labels" in changes:
        changes["labels"] = tuple(changes["labels"])
    if "state" in changes:
        changes["state"] = ExperimentState(changes["state"])
    t.put(t.experiments, m.id, replace(old, **changes))


@apply.register
def _(m: p.DeleteExperiment, t: Tables) -> None:
    experiment = _existing(t.experiments, m.id, m)
    for trial_id in list(t.trials_of.get(m.id, ())):
        _delete_trial(t, t.trials[trial_id])
    owned: tuple[dict[int, Any], ...] = (t.trials_of, t.journal_of, t.events_of, t.batches_of, t.parts_of)
    for table in owned:
        t.drop(table, m.id)
    t.drop(t.by_client_key, (experiment.owner_id, experiment.client_key))
    t.drop(t.experiments, m.id)


def _delete_trial(t: Tables, trial: Trial) -> None:
    for metrics in list(t.reports(trial.id)):
        t.drop(t.by_report, (metrics.trial_id, metrics.run_id, metrics.group, metrics.steps))
        t.drop(t.metrics, metrics.id)
    for allocation_id in t.runs_of.get(trial.id, ()):
        t.drop(t.runs, allocation_id)
    for checkpoint in t.checkpoints_of.get(trial.id, ()):
        t.drop(t.checkpoints, checkpoint)
    owned: tuple[dict[int, Any], ...] = (t.metrics_of, t.runs_of, t.checkpoints_of, t.logs_of)
    for table in owned:
        t.drop(table, trial.id)
    t.drop(t.by_request, (trial.experiment_id, trial.request_id))
    t.drop(t.trials, trial.id)


@apply.register
def _(m: p.InsertTrial, t: Tables) -> None:
    trial = m.trial
    request = (trial.experiment_id, trial.request_id)
    if trial.id in t.trials or request in t.by_request:
        raise conflict(m)
    e = _existing(t.experiments, trial.experiment_id, m)
    t.put(t.trials, trial.id, trial)
    t.put(t.by_request, request, trial.id)
    t.add_to(t.trials_of, e.id, trial.id, None)
    t.put(t.experiments, e.id, replace(e, num_trials=e.num_trials + 1))
    t.raise_high("trials", trial.id)


@apply.register(p.UpdateTrial)
@apply.register(p.UpdateTrialUnits)
@apply.register(p.UpdateRunnerState)
def _(m: p.UpdateTrial | p.UpdateTrialUnits | p.UpdateRunnerState, t: Tables) -> None:
    old = _existing(t.trials, m.id, m)
    t.put(t.trials, m.id, replace(old, **msgspec.structs.asdict(m)))


@apply.register
def _(m: p.PutRun, t: Tables) -> None:
    run = m.run
    _existing(t.trials, run.trial_id, m)
    old = t.runs.get(run.allocation_id)
    if old is not None:
        run = replace(run, lines=old.lines)
        t.drop(t.runs_of.get(old.trial_id, {}), run.allocation_id)
    t.put(t.runs, run.allocation_id, run)
    t.add_to(t.runs_of, run.trial_id, run.allocation_id, None)


@apply.register
def _(m: p.PutMetrics, t: Tables) -> None:
    new = m.metrics
    trial = _existing(t.trials, new.trial_id, m)
    for row in t.reports(new.trial_id):
        reaches = row.steps >= new.steps if row.group == new.group else row.steps > new.steps
        if not row.archived and row.run_id < new.run_id and reaches:
            t.put(t.metrics, row.id, replace(row, archived=True))
    key = (new.trial_id, new.run_id, new.group, new.steps)
    known = t.by_report.get(key)
    row_id = t.next_id("metrics") if known is None else known
    t.put(t.by_report, key, row_id)
    t.put(t.metrics, row_id, replace(new, id=row_id, archived=False))
    t.add_to(t.metrics_of, new.trial_id, row_id, None)
    _summarize_trial(t, trial, m.smaller_is_better)
    _summarize_experiment(t, t.experiments[trial.experiment_id], m.smaller_is_better)


def _summarize_trial(t: Tables, trial: Trial, smaller_is_better: bool) -> None:
    live = [row for row in t.reports(trial.id) if not row.archived]
    searched = [row for row in live if row.group == "validation" and row.has_searcher_metric]
    latest = max(searched, key=lambda row: (row.steps, row.id), default=None)
    ranked = [(_cost(row.searcher_metric, smaller_is_better), row.id, row) for row in searched]
    best = min((r for r in ranked if r[2].searcher_metric is not None), default=(0, 0, None))[2]
    summary = replace(
        trial,
        total_batches=max((row.steps for row in live), default=0),
        best_validation=None if best is None else best.id,
        best_metric=None if best is None else best.searcher_metric,
        latest_validation=None if latest is None else latest.id,
        latest_metric=None if latest is None else latest.searcher_metric,
    )
    t.put(t.trials, trial.id, summary)


def _summarize_experiment(t: Tables, e: Experiment, smaller_is_better: bool) -> None:
    trials = (t.trials[i] for i in t.trials_of[e.id])
    scored = [(_cost(x.best_metric, smaller_is_better), x.id, x) for x in trials if x.best_metric is not None]
    best = min(scored)[2] if scored else None
    t.put(
        t.experiments,
        e.id,
        replace(
            e,
            best_trial_id=None if best is None else TrialId(best.id),
            best_metric=None if best is None else best.best_metric,
        ),
    )


def _cost(metric: float | None, smaller_is_better: bool) -> float:
    value = 0.0 if metric is None else metric
    return value if smaller_is_better else -value


@apply.register
def _(m: p.PutCheckpoint, t: Tables) -> None:
    _existing(t.trials, m.checkpoint.trial_id, m)
    _store_checkpoint(t, m.checkpoint)


@apply.register
def _(m: p.SetCheckpointState, t: Tables) -> None:
    _store_checkpoint(t, replace(_existing(t.checkpoints, m.uuid, m), state=m.state))


@apply.register
def _(m: p.SetCheckpointMetadata, t: Tables) -> None:
    _store_checkpoint(t, replace(_existing(t.checkpoints, m.uuid, m), metadata=m.metadata))


def _store_checkpoint(t: Tables, new: Checkpoint) -> None:
    old = t.checkpoints.get(new.uuid)
    if old is not None:
        _count_checkpoint(t, old, -1)
        t.drop(t.checkpoints_of.get(old.trial_id, {}), old.uuid)
    t.put(t.checkpoints, new.uuid, new)
    t.add_to(t.checkpoints_of, new.trial_id, new.uuid, None)
    _count_checkpoint(t, new, 1)


def _count_checkpoint(t: Tables, c: Checkpoint, sign: int) -> None:
    if c.state is CheckpointState.DELETED:
        return
    size = sign * c.size
    trial = t.trials[c.trial_id]
    experiment = t.experiments[trial.experiment_id]
    t.put(t.trials, trial.id, _with_checkpoint(trial, sign, size))
    t.put(t.experiments, experiment.id, _with_checkpoint(experiment, sign, size))


def _with_checkpoint(owner: W, count: int, size: int) -> W:
    return replace(
        owner,
        checkpoint_count=owner.checkpoint_count + count,
        checkpoint_size=owner.checkpoint_size + size,
    )


@apply.register
def _(m: p.AppendLogs, t: Tables) -> None:
    for record in m.records:
        _existing(t.trials, record.trial_id, m)
        record_id = t.next_id("logs")
        t.add_to(t.logs_of, record.trial_id, record_id, replace(record, id=record_id))
    if m.lines_known is not None:
        run = _existing(t.runs, m.allocation_id, m)
        t.put(t.runs, m.allocation_id, replace(run, lines=m.lines_known))


@apply.register(p.AppendJournal)
@apply.register(p.AppendEvent)
def _(m: p.AppendJournal | p.AppendEvent, t: Tables) -> None:
    row = m.row
    _existing(t.experiments, row.experiment_id, m)
    table: dict[int, dict[int, Any]] = t.journal_of if isinstance(m, p.AppendJournal) else t.events_of
    key = m.row.seq if isinstance(m, p.AppendJournal) else m.row.id
    if key in table.get(row.experiment_id, ()):
        raise conflict(m)
    t.add_to(table, row.experiment_id, key, row)


@apply.register
def _(m: p.PutBatch, t: Tables) -> None:
    _existing(t.experiments, m.experiment_id, m)
    t.add_to(t.batches_of, m.experiment_id, m.trigger, m.digest)


@apply.register
def _(m: p.PutState, t: Tables) -> None:
    _existing(t.experiments, m.experiment_id, m)
    t.add_to(t.parts_of, m.experiment_id, m.part, (m.seq, m.body))


@apply.register
def _(m: p.DropState, t: Tables) -> None:
    t.drop(t.parts_of.get(m.experiment_id, {}), m.part)
