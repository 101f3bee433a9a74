"""Queries about trials, their runs, reports and logs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, func, select

from determined.domain.records import LogRecord, Metrics, Run, Trial
from determined.domain.states import TrialState
from determined.storage import codec
from determined.storage.orders import TRIAL_KEYS, check_order
from determined.storage.protocol import Listing, LogFilter, Order, Page
from determined.storage.query_parts import count, fetch, find, get, holds, in_chunks, one_of, page_of, sorted_by
from determined.storage.tables import counters, logs, metrics, runs, trials

_T: Final = trials.c
_SORT: Final[Mapping[str, Any]] = {
    "ID": _T.id,
    "START_TIME": _T.created_at,
    "END_TIME": _T.ended_at,
    "STATE": _T.state,
    "BEST_VALIDATION_METRIC": _T.best_metric,
    "LATEST_VALIDATION_METRIC": _T.latest_metric,
    "BATCHES_PROCESSED": _T.total_batches,
    "DURATION": _T.ended_at - _T.created_at,
    "RESTARTS": _T.restarts,
    "CHECKPOINT_SIZE": _T.checkpoint_size,
}
_L: Final = logs.c
_LOG_FIELDS: Final[Mapping[str, Any]] = {
    "levels": _L.level,
    "rank_ids": _L.rank,
    "stdtypes": _L.stdtype,
    "sources": _L.source,
    "agent_ids": _L.agent_id,
    "container_ids": _L.container_id,
    "allocation_ids": _L.allocation_id,
}


def get_trial(conn: Connection, trial_id: int) -> Trial:
    """The trial with that id."""
    return get(conn, "trial", codec.TRIAL, trial_id)


def list_trials(
    conn: Connection, experiment_id: int, states: Sequence[TrialState], order: Order, page: Page
) -> Listing:
    """One page of an experiment's trials."""
    check_order("trials", order, TRIAL_KEYS)
    where = [_T.experiment_id == experiment_id, *one_of(_T.state, states)]
    total = count(conn, trials, *where)
    query = sorted_by(select(trials).where(*where), _SORT[order.key], _T.id, order)
    start, query = page_of(query, page, total)
    return Listing(fetch(conn, codec.TRIAL, query), start, total)


def trial_ids(conn: Connection, experiment_id: int) -> Sequence[int]:
    """Ids of an experiment's trials, ascending."""
    query = select(_T.id).where(_T.experiment_id == experiment_id).order_by(_T.id)
    return list(conn.execute(query).scalars())


def warm_starts(conn: Connection, uuids: Sequence[str]) -> frozenset[str]:
    """Those of the checkpoints that some trial starts or started from."""
    queries = (select(_T.warm_start).where(_T.warm_start.in_(part)) for part in in_chunks(uuids))
    return frozenset(uuid for query in queries for uuid in conn.execute(query).scalars())


def list_runs(conn: Connection, trial_id: int) -> Sequence[Run]:
    """A trial's runs, by run id."""
    query = select(runs).where(runs.c.trial_id == trial_id).order_by(runs.c.run_id, runs.c.allocation_id)
    return fetch(conn, codec.RUN, query)


def find_run(conn: Connection, allocation_id: str) -> Run | None:
    """The run of that name."""
    return find(conn, codec.RUN, runs.c.allocation_id == allocation_id)


def get_metrics(conn: Connection, ids: Sequence[int]) -> Mapping[int, Metrics]:
    """Those of the named reports that exist."""
    queries = (select(metrics).where(metrics.c.id.in_(part)) for part in in_chunks(ids))
    return {m.id: m for query in queries for m in fetch(conn, codec.METRICS, query)}


def list_metrics(
    conn: Connection, trial_ids: Sequence[int], groups: Sequence[str], after_id: int, limit: int
) -> Sequence[Metrics]:
    """Live and archived reports by id; no groups means all."""
    m = metrics.c
    query = select(metrics).where(m.id > after_id, *one_of(m.group, groups)).order_by(m.id).limit(max(0, limit))
    found = [
        row for part in in_chunks(trial_ids) for row in fetch(conn, codec.METRICS, query.where(m.trial_id.in_(part)))
    ]
    return sorted(found, key=lambda row: row.id)[: max(0, limit)]


def list_trial_metrics(conn: Connection, trial_id: int) -> Sequence[Metrics]:
    """Live reports of a trial, by (steps, time, id)."""
    m = metrics.c
    query = select(metrics).where(m.trial_id == trial_id, m.archived.is_(False))
    return fetch(conn, codec.METRICS, query.order_by(m.steps, m.at, m.id))


def read_logs(
    conn: Connection, trial_id: int, where: LogFilter, after_id: int, limit: int | None, descending: bool
) -> Sequence[LogRecord]:
    """Lines of a trial that match, with an id above ``after_id``."""
    query = select(logs).where(_L.trial_id == trial_id, _L.id > after_id, *_log_conditions(where))
    query = query.order_by(_L.id.desc() if descending else _L.id)
    return fetch(conn, codec.LOG, query if limit is None else query.limit(max(0, limit)))


def new_lines(conn: Connection, trial_ids: Sequence[int], after_id: int, limit: int) -> Sequence[LogRecord]:
    """Lines of some trials with an id above ``after_id``, by id."""
    query = select(logs).where(_L.id > after_id).order_by(_L.id).limit(max(0, limit))
    found = [
        line for part in in_chunks(trial_ids) for line in fetch(conn, codec.LOG, query.where(_L.trial_id.in_(part)))
    ]
    return sorted(found, key=lambda line: line.id)[: max(0, limit)]


def last_line(conn: Connection) -> int:
    """The largest id that a line of a log was ever given; 0 for none."""
    return conn.execute(select(counters.c.used).where(counters.c.name == "logs")).scalar() or 0


def last_lines(conn: Connection, experiment_id: int, trials: Collection[int] | None) -> Mapping[int, int]:
    """For each trial of an experiment, or each of those named, the id of its last line; 0 for none."""
    last = select(func.max(_L.id)).where(_L.trial_id == _T.id).scalar_subquery()
    query = select(_T.id, last).where(_T.experiment_id == experiment_id)
    if trials is not None:
        query = query.where(_T.id.in_(trials))
    return {trial_id: line_id or 0 for trial_id, line_id in conn.execute(query)}


def _log_conditions(where: LogFilter) -> list[ColumnElement[bool]]:
    found = [*holds(_L.text, where.text)]
    for name, column in _LOG_FIELDS.items():
        found += one_of(column, getattr(where, name))
    if where.before is not None:
        found.append(_L.at <= where.before)
    if where.after is not None:
        found.append(_L.at > where.after)
    return found


def log_fields(conn: Connection, trial_id: int) -> Mapping[str, Sequence[str]]:
    """The values that occur, for each list of ``LogFilter``."""
    query = select(*_LOG_FIELDS.values()).where(_L.trial_id == trial_id).distinct()
    columns = list(zip(*conn.execute(query).all(), strict=True)) or [()] * len(_LOG_FIELDS)
    return {
        name: [str(value) for value in sorted({v for v in values if v not in (None, "")})]
        for name, values in zip(_LOG_FIELDS, columns, strict=True)
    }
