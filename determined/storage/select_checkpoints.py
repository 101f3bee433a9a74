"""Queries about checkpoints, each with the reports at its steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Select, select

from determined.domain.states import CheckpointState
from determined.errors import NotFound
from determined.storage import codec
from determined.storage.orders import CHECKPOINT_KEYS, check_order
from determined.storage.protocol import CheckpointView, Listing, Order, Page
from determined.storage.query_parts import count, in_chunks, one_of, page_of, sorted_by
from determined.storage.select_trials import get_metrics
from determined.storage.tables import checkpoints, experiments, metrics, trials

_C: Final = checkpoints.c
_M: Final = metrics.c


def _at_steps(column: Any, group: str) -> Any:
    """Of the newest run's live report of this group at the checkpoint's steps."""
    same = (_M.trial_id == _C.trial_id, _M.group == group, _M.steps == _C.steps, _M.archived.is_(False))
    return select(column).where(*same).order_by(_M.run_id.desc()).limit(1).correlate(checkpoints).scalar_subquery()


_METRIC: Final = _at_steps(_M.searcher_metric, "validation")
_SORT: Final[Mapping[str, Any]] = {
    "ID": _C.uuid,
    "UUID": _C.uuid,
    "TRIAL_ID": _C.trial_id,
    "BATCH_NUMBER": _C.steps,
    "END_TIME": _C.reported_at,
    "STATE": _C.state,
    "SEARCHER_METRIC": _METRIC,
}
_VIEWS: Final = select(
    checkpoints, _at_steps(_M.id, "training"), _at_steps(_M.id, "validation"), trials.c.hparams
).join(trials, trials.c.id == _C.trial_id)


def _views(conn: Connection, query: Select[Any]) -> list[CheckpointView]:
    rows = conn.execute(query).all()
    width = len(codec.CHECKPOINT.fields)
    reports = get_metrics(conn, [i for row in rows for i in row[width : width + 2] if i is not None])
    return [
        CheckpointView(
            codec.CHECKPOINT.decode(row), reports.get(row[width]), reports.get(row[width + 1]), row[width + 2]
        )
        for row in rows
    ]


def get_checkpoint(conn: Connection, uuid: str) -> CheckpointView:
    """A checkpoint with its reports."""
    found = _views(conn, _VIEWS.where(_C.uuid == uuid))
    if not found:
        raise NotFound(f"checkpoint {uuid} not found")
    return found[0]


def list_checkpoints(
    conn: Connection,
    experiment_id: int | None,
    trial_id: int | None,
    states: Sequence[CheckpointState],
    order: Order,
    page: Page,
) -> Listing:
    """One page of checkpoints."""
    check_order("checkpoints", order, CHECKPOINT_KEYS)
    where = one_of(_C.state, states)
    if experiment_id is not None:
        where.append(_C.experiment_id == experiment_id)
    if trial_id is not None:
        where.append(_C.trial_id == trial_id)
    total = count(conn, checkpoints, *where)
    query = sorted_by(_VIEWS.where(*where), _SORT[order.key], _C.uuid, order)
    start, query = page_of(query, page, total)
    return Listing(_views(conn, query), start, total)


def best_checkpoints(conn: Connection, trial_ids: Sequence[int]) -> Mapping[int, CheckpointView]:
    """For each trial its COMPLETED checkpoint with the best searcher metric; the earliest of equals."""
    query = (
        select(_C.uuid, _C.trial_id, _C.steps, _METRIC, experiments.c.smaller_is_better)
        .join(experiments, experiments.c.id == _C.experiment_id)
        .where(_C.state == CheckpointState.COMPLETED.value)
    )
    found: dict[int, CheckpointView] = {}
    for part in in_chunks(trial_ids):
        best = _best_of(conn.execute(query.where(_C.trial_id.in_(part))))
        found |= {v.checkpoint.trial_id: v for v in _views(conn, _VIEWS.where(_C.uuid.in_(best)))}
    return found


def _best_of(rows: Iterable[Any]) -> list[str]:
    best: dict[int, tuple[float, int, str]] = {}
    for uuid, trial_id, steps, metric, smaller_is_better in rows:
        if metric is not None:
            rank = (metric if smaller_is_better else -metric, steps, uuid)
            best[trial_id] = min(rank, best.get(trial_id, rank))
    return [uuid for _, _, uuid in best.values()]
