"""How each mutation becomes rows of a transaction. Whatever can wait is only planned; see ``batch.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Table, delete, select, update

from determined.domain.states import CheckpointState, ExperimentState
from determined.storage import codec, tables
from determined.storage import protocol as p
from determined.storage import statements as s
from determined.storage.batch import RowsMissing
from determined.storage.orders import check_changes
from determined.storage.reports import put_metrics
from determined.storage.transaction import Best, Transaction, TrialReports


class PutMeta(msgspec.Struct, frozen=True):
    """The value of a key, unless it has one."""

    key: str
    value: str


def apply(tx: Transaction, mutation: Any) -> None:
    """Plan or write what one mutation says.

    Raises:
        RowsMissing, InvalidInput, sqlalchemy.exc.DBAPIError: here or when the transaction finishes.
    """
    _HANDLERS[type(mutation)](tx, mutation)


def _put_meta(tx: Transaction, m: PutMeta) -> None:
    tx.batch.add(s.PUT_META, (m.key, m.value))


def _put_user(tx: Transaction, m: p.PutUser) -> None:
    # Names may move from one user to another within a batch, so each user is written on its own.
    tx.batch.flush()
    tx.batch.add(s.PUT_USER, codec.USER.encode(m.user))
    tx.batch.flush()
    tx.raise_counter("users", m.user.id)


def _put_token(tx: Transaction, m: p.PutToken) -> None:
    tx.batch.add(s.PUT_TOKEN, codec.TOKEN.encode(m.token))


def _drop_token(tx: Transaction, m: p.DropToken) -> None:
    tx.batch.add(s.DROP_TOKEN, (m.digest,))


def _insert_experiment(tx: Transaction, m: p.InsertExperiment) -> None:
    e = m.experiment
    tx.batch.add(s.INSERT_EXPERIMENT, codec.EXPERIMENT.encode(e))
    tx.known.best[e.id] = Best(e.best_trial_id, e.best_metric)
    tx.raise_counter("experiments", e.id)


def _update_experiment(tx: Transaction, m: p.UpdateExperiment) -> None:
    tx.batch.add(s.UPDATE_EXPERIMENT, (m.id, m.state.value, m.progress, m.ended_at, m.message))


def _patch_experiment(tx: Transaction, m: p.PatchExperiment) -> None:
    check_changes(list(m.changes))
    changes = dict(m.changes)
    if "labels" in changes:
        changes["labels"] = codec.encode_labels(changes["labels"])
    if "state" in changes:
        changes["state"] = ExperimentState(changes["state"]).value
    tx.batch.settle("experiments", m.id)
    changed = update(tables.experiments).where(tables.experiments.c.id == m.id).values(id=m.id, **changes)
    if tx.conn.execute(changed).rowcount != 1:
        raise RowsMissing("experiments")


def _delete_experiment(tx: Transaction, m: p.DeleteExperiment) -> None:
    tx.batch.flush()
    its_trials = select(tables.trials.c.id).where(tables.trials.c.experiment_id == m.id)
    for table in (tables.logs, tables.metrics, tables.checkpoints, tables.runs):
        tx.conn.execute(delete(table).where(table.c.trial_id.in_(its_trials)))
    owned: tuple[Table, ...] = (tables.trials, tables.journal, tables.events, tables.batches, tables.parts)
    for table in owned:
        tx.conn.execute(delete(table).where(table.c.experiment_id == m.id))
    gone = tx.conn.execute(delete(tables.experiments).where(tables.experiments.c.id == m.id))
    if gone.rowcount != 1:
        raise RowsMissing("experiments")
    tx.known.trials.clear()
    tx.known.best.pop(m.id, None)


def _insert_trial(tx: Transaction, m: p.InsertTrial) -> None:
    t = m.trial
    tx.batch.add(s.INSERT_TRIAL, codec.TRIAL.encode(t), owner=("experiments", t.experiment_id))
    tx.batch.add(s.COUNT_IN_EXPERIMENT, (t.experiment_id, 1, 0, 0))
    tx.known.trials[t.id] = TrialReports(
        t.experiment_id,
        total=t.total_batches,
        best_id=t.best_validation,
        best=t.best_metric,
        latest_id=t.latest_validation,
        latest=t.latest_metric,
    )
    tx.raise_counter("trials", t.id)


def _update_trial(tx: Transaction, m: p.UpdateTrial) -> None:
    phase = None if m.phase is None else m.phase.value
    tx.batch.add(s.UPDATE_TRIAL, (m.id, m.state.value, m.run_id, phase, m.restarts, m.closed, m.ended_at))


def _update_units(tx: Transaction, m: p.UpdateTrialUnits) -> None:
    tx.batch.add(s.UPDATE_UNITS, (m.id, m.units))


def _update_runner_state(tx: Transaction, m: p.UpdateRunnerState) -> None:
    tx.batch.add(s.UPDATE_RUNNER_STATE, (m.id, m.runner_state))


def _put_run(tx: Transaction, m: p.PutRun) -> None:
    tx.batch.add(s.PUT_RUN, codec.RUN.encode(m.run), owner=("trials", m.run.trial_id))


def _put_metrics(tx: Transaction, m: p.PutMetrics) -> None:
    put_metrics(tx, m.metrics, m.smaller_is_better)


def _put_checkpoint(tx: Transaction, m: p.PutCheckpoint) -> None:
    new = m.checkpoint
    old = _find_checkpoint(tx, new.uuid)
    if old is not None:
        _count(tx, old.state, old.trial_id, old.experiment_id, -1, -old.size)
    tx.batch.add(s.PUT_CHECKPOINT, codec.CHECKPOINT.encode(new), owner=("trials", new.trial_id))
    _count(tx, new.state.value, new.trial_id, new.experiment_id, 1, new.size)


def _set_checkpoint_state(tx: Transaction, m: p.SetCheckpointState) -> None:
    old = _find_checkpoint(tx, m.uuid)
    if old is None:
        raise RowsMissing("checkpoints")
    _count(tx, old.state, old.trial_id, old.experiment_id, -1, -old.size)
    tx.batch.add(s.SET_CHECKPOINT_STATE, (m.uuid, m.state.value))
    _count(tx, m.state.value, old.trial_id, old.experiment_id, 1, old.size)


def _set_checkpoint_metadata(tx: Transaction, m: p.SetCheckpointMetadata) -> None:
    tx.batch.add(s.SET_CHECKPOINT_METADATA, (m.uuid, m.metadata))


def _find_checkpoint(tx: Transaction, uuid: str) -> Any:
    tx.batch.settle("checkpoints", uuid)
    c = tables.checkpoints.c
    return tx.first(select(c.state, c.trial_id, c.experiment_id, c.size).where(c.uuid == uuid))


def _count(tx: Transaction, state: str, trial_id: int, experiment_id: int, count: int, size: int) -> None:
    if state != CheckpointState.DELETED.value:
        tx.batch.add(s.COUNT_IN_TRIAL, (trial_id, count, size))
        tx.batch.add(s.COUNT_IN_EXPERIMENT, (experiment_id, 0, count, size))


def _append_logs(tx: Transaction, m: p.AppendLogs) -> None:
    for record in m.records:
        row = codec.LOG.encode(msgspec.structs.replace(record, id=tx.next_id("logs")))
        tx.batch.add(s.INSERT_LOG, row, owner=("trials", record.trial_id))
    if m.lines_known is not None:
        tx.batch.add(s.SET_LINES, (m.allocation_id, m.lines_known))


def _append_journal(tx: Transaction, m: p.AppendJournal) -> None:
    tx.batch.add(s.APPEND_JOURNAL, codec.JOURNAL.encode(m.row), owner=("experiments", m.row.experiment_id))


def _append_event(tx: Transaction, m: p.AppendEvent) -> None:
    tx.batch.add(s.APPEND_EVENT, codec.EVENT.encode(m.row), owner=("experiments", m.row.experiment_id))


def _put_batch(tx: Transaction, m: p.PutBatch) -> None:
    row = (m.experiment_id, m.trigger, m.digest)
    tx.batch.add(s.PUT_BATCH, row, owner=("experiments", m.experiment_id))


def _put_state(tx: Transaction, m: p.PutState) -> None:
    row = (m.experiment_id, m.part, m.seq, m.body)
    tx.batch.add(s.PUT_PART, row, owner=("experiments", m.experiment_id))


def _drop_state(tx: Transaction, m: p.DropState) -> None:
    tx.batch.add(s.DROP_PART, (m.experiment_id, m.part))


_HANDLERS: Final[Mapping[type, Callable[[Transaction, Any], None]]] = {
    PutMeta: _put_meta,
    p.PutUser: _put_user,
    p.PutToken: _put_token,
    p.DropToken: _drop_token,
    p.InsertExperiment: _insert_experiment,
    p.UpdateExperiment: _update_experiment,
    p.PatchExperiment: _patch_experiment,
    p.DeleteExperiment: _delete_experiment,
    p.InsertTrial: _insert_trial,
    p.UpdateTrial: _update_trial,
    p.UpdateTrialUnits: _update_units,
    p.UpdateRunnerState: _update_runner_state,
    p.PutRun: _put_run,
    p.PutMetrics: _put_metrics,
    p.PutCheckpoint: _put_checkpoint,
    p.SetCheckpointState: _set_checkpoint_state,
    p.SetCheckpointMetadata: _set_checkpoint_metadata,
    p.AppendLogs: _append_logs,
    p.AppendJournal: _append_journal,
    p.AppendEvent: _append_event,
    p.PutBatch: _put_batch,
    p.PutState: _put_state,
    p.DropState: _drop_state,
}
