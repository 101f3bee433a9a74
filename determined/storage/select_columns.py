"""Queries for tables and charts: many rows, few columns, nothing taken apart that is only passed on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, case, func, select

from determined.domain.records import EventRow, JournalRow
from determined.domain.states import ExperimentState, TrialState
from determined.storage import codec
from determined.storage.protocol import STRETCHES, ExperimentFilter, SearcherPoint, Tally, TallyQuery, TrialRow
from determined.storage.query_parts import fetch, in_chunks
from determined.storage.select_experiments import conditions
from determined.storage.tables import events, experiments, journal, metrics, trials

_T: Final = trials.c
_M: Final = metrics.c
_ROWS: Final = select(
    _T.id,
    _T.state,
    _T.phase,
    _T.units,
    _T.total_batches,
    _T.best_metric,
    _M.steps,
    _T.latest_metric,
    _T.checkpoint_count,
    _T.restarts,
    _T.created_at,
    _T.ended_at,
    _T.hparams,
).outerjoin_from(trials, metrics, _M.id == _T.best_validation)
_REACHED: Final = case((_T.units > 0, _T.units), else_=_T.total_batches)


def count_states(conn: Connection, where: ExperimentFilter) -> Mapping[ExperimentState, int]:
    """How many experiments of each state match."""
    state = experiments.c.state
    query = select(state, func.count()).where(*conditions(where)).group_by(state)
    return {ExperimentState(name): number for name, number in conn.execute(query)}


def get_journal(conn: Connection, experiment_id: int, seqs: Sequence[int]) -> Sequence[JournalRow]:
    """Those of the numbered facts that exist, in order."""
    c = journal.c
    query = select(journal).where(c.experiment_id == experiment_id).order_by(c.seq)
    return [row for part in in_chunks(seqs) for row in fetch(conn, codec.JOURNAL, query.where(c.seq.in_(part)))]


def journal_end(conn: Connection, experiment_id: int) -> int:
    """Sequence number of the newest fact; 0 for none."""
    query = select(func.max(journal.c.seq)).where(journal.c.experiment_id == experiment_id)
    return conn.execute(query).scalar() or 0


def get_events(conn: Connection, experiment_id: int, ids: Sequence[int]) -> Sequence[EventRow]:
    """Those of the numbered events that exist, in order."""
    c = events.c
    query = select(events).where(c.experiment_id == experiment_id).order_by(c.id)
    return [row for part in in_chunks(ids) for row in fetch(conn, codec.EVENT, query.where(c.id.in_(part)))]


def trial_rows(conn: Connection, experiment_id: int, trial_ids: Sequence[int] | None = None) -> Sequence[TrialRow]:
    """An experiment's trials by id: all, or those named."""
    query = _ROWS.where(_T.experiment_id == experiment_id).order_by(_T.id)
    if trial_ids is None:
        return [TrialRow._make(row) for row in conn.execute(query)]
    parts = (conn.execute(query.where(_T.id.in_(part))) for part in in_chunks(trial_ids))
    return [TrialRow._make(row) for rows in parts for row in rows]


def tallies(conn: Connection, wanted: Sequence[TallyQuery]) -> Sequence[Tally]:
    """The trials of each of some experiments, counted."""
    return [_tally(conn, query) for query in wanted]


def _tally(conn: Connection, query: TallyQuery) -> Tally:
    own = _T.experiment_id == query.experiment_id
    counted = conn.execute(select(_T.state, func.count()).where(own).group_by(_T.state))
    states = {state: number for state, number in counted}  # noqa: C416  # rows are no pairs to type checkers
    longest = query.longest
    if longest is None:
        longest = conn.execute(select(func.max(_REACHED)).where(own)).scalar() or 0
    short = select(func.count()).where(own, _T.state == TrialState.COMPLETED.value, longest > _REACHED)
    return Tally(states, longest, conn.execute(short).scalar_one(), _best(conn, query))


def _best(conn: Connection, query: TallyQuery) -> list[float]:
    own = _T.experiment_id == query.experiment_id
    first, last = conn.execute(select(func.min(_T.id), func.max(_T.id)).where(own)).one()
    if first is None:
        return []
    # Ids rise in the order of the trials; where other experiments took some of them, stretches are a little uneven.
    stretch = ((_T.id - first) * min(STRETCHES, last - first + 1)) // (last - first + 1)
    extreme: Any = func.min if query.smaller_is_better else func.max
    best = select(extreme(_T.best_metric)).where(own, _T.best_metric.is_not(None)).group_by(stretch).order_by(stretch)
    return list(conn.execute(best).scalars())


def searcher_points(conn: Connection, trial_ids: Sequence[int], after_id: int = 0) -> Sequence[SearcherPoint]:
    """The searched metric in live validations of some trials, where it is finite, by (trial, steps, id)."""
    query = (
        select(_M.id, _M.trial_id, _M.steps, _M.searcher_metric)
        .where(_M.group == "validation", _M.archived.is_(False), _M.searcher_metric.is_not(None))
        .order_by(_M.trial_id, _M.steps, _M.id)
    )
    if after_id:
        query = query.where(_M.id > after_id)
    parts = (conn.execute(query.where(_M.trial_id.in_(part))) for part in in_chunks(trial_ids))
    return [SearcherPoint._make(row) for rows in parts for row in rows]


def last_report(conn: Connection) -> int:
    """The largest id of a report of metrics; 0 for none."""
    return conn.execute(select(func.max(_M.id))).scalar() or 0
