"""How a metric report goes into the tables: in the usual case it is only new rows, without reading anything.

The unusual cases, each told from what the writer knows of the trial: a report that may replace one, or of an older run,
or that reaches back behind reports of older runs, which it then archives. They are done with queries.
"""

from __future__ import annotations

from msgspec.structs import replace
from sqlalchemy import and_, func, or_, select, update

from determined.domain.records import Metrics
from determined.storage import statements as s
from determined.storage.batch import RowsMissing
from determined.storage.codec import METRICS
from determined.storage.tables import experiments, metrics, trials
from determined.storage.transaction import Best, Transaction, TrialReports

VALIDATION = "validation"


def put_metrics(tx: Transaction, report: Metrics, smaller_is_better: bool) -> None:
    """Store a report, see ``PutMetrics``.

    Raises:
        RowsMissing: no such trial.
    """
    known = tx.known.trials.get(report.trial_id) or _load(tx, report.trial_id)
    if report.run_id > known.run_id:
        known.older = max(known.older, *known.tips.values(), -1)
        known.tips = {}
        known.run_id = report.run_id
    before = known.best_id, known.best
    if _is_plainly_new(known, report):
        _append(tx, known, report, smaller_is_better)
    else:
        known = _replace(tx, report, smaller_is_better)
    row = (known.total, known.best_id, known.best, known.latest_id, known.latest)
    tx.batch.add(s.SET_SUMMARY, (report.trial_id, *row))
    if (known.best_id, known.best) != before:
        _follow_best(tx, known, report.trial_id, smaller_is_better)


def _is_plainly_new(known: TrialReports, report: Metrics) -> bool:
    return (
        report.run_id == known.run_id and report.steps > known.tips.get(report.group, -1) and report.steps > known.older
    )


def _append(tx: Transaction, known: TrialReports, report: Metrics, smaller_is_better: bool) -> None:
    row_id = tx.next_id("metrics")
    new = replace(report, id=row_id, archived=False)
    tx.batch.add(s.INSERT_METRICS, METRICS.encode(new), owner=("trials", report.trial_id))
    known.tips[report.group] = report.steps
    known.total = max(known.total, report.steps)
    if report.group != VALIDATION or not report.has_searcher_metric:
        return
    if report.steps >= known.latest_steps:
        known.latest_id, known.latest = row_id, report.searcher_metric
        known.latest_steps = report.steps
    if report.searcher_metric is not None and (
        known.best is None or _is_better(report.searcher_metric, known.best, smaller_is_better)
    ):
        known.best_id, known.best = row_id, report.searcher_metric


def _is_better(one: float, other: float, smaller_is_better: bool) -> bool:
    return one < other if smaller_is_better else one > other


def _load(tx: Transaction, trial_id: int) -> TrialReports:
    """What the database says; remembered. The direction of the metric does not matter here."""
    tx.batch.settle("trials", trial_id)
    t = trials.c
    row = tx.first(
        select(
            t.experiment_id, t.total_batches, t.best_validation, t.best_metric, t.latest_validation, t.latest_metric
        ).where(t.id == trial_id)
    )
    if row is None:
        raise RowsMissing("trials")
    known = TrialReports(row[0], total=row[1], best_id=row[2], best=row[3], latest_id=row[4], latest=row[5])
    m = metrics.c
    if known.latest_id is not None:
        known.latest_steps = tx.conn.execute(select(m.steps).where(m.id == known.latest_id)).scalar_one()
    tips = select(m.run_id, m.group, m.archived, func.max(m.steps)).where(m.trial_id == trial_id)
    rows = tx.conn.execute(tips.group_by(m.run_id, m.group, m.archived)).all()
    known.run_id = max((run_id for run_id, _, _, _ in rows), default=0)
    for run_id, group, archived, steps in rows:
        if run_id == known.run_id:
            known.tips[group] = max(steps, known.tips.get(group, -1))
        elif not archived:
            known.older = max(steps, known.older)
    tx.known.trials[trial_id] = known
    return known


def _replace(tx: Transaction, report: Metrics, smaller_is_better: bool) -> TrialReports:
    tx.batch.flush()
    m = metrics.c
    ahead = or_(
        and_(m.group == report.group, m.steps >= report.steps),
        and_(m.group != report.group, m.steps > report.steps),
    )
    older = and_(m.trial_id == report.trial_id, m.run_id < report.run_id, m.archived.is_(False))
    tx.conn.execute(update(metrics).where(older, ahead).values(archived=True))
    same = and_(
        m.trial_id == report.trial_id,
        m.group == report.group,
        m.steps == report.steps,
        m.run_id == report.run_id,
    )
    row_id = tx.conn.execute(select(m.id).where(same)).scalar()
    new = replace(report, id=tx.next_id("metrics") if row_id is None else row_id, archived=False)
    values = dict(zip(METRICS.fields, METRICS.encode(new), strict=True))
    tx.conn.execute(
        metrics.insert().values(values) if row_id is None else update(metrics).where(m.id == row_id).values(values)
    )
    known = _load(tx, report.trial_id)
    _summarize(tx, known, report.trial_id, smaller_is_better)
    return known


def _summarize(tx: Transaction, known: TrialReports, trial_id: int, smaller_is_better: bool) -> None:
    m = metrics.c
    live = and_(m.trial_id == trial_id, m.archived.is_(False))
    known.total = tx.conn.execute(select(func.max(m.steps)).where(live)).scalar() or 0
    searched = (
        select(m.id, m.searcher_metric, m.steps)
        .where(live, m.group == VALIDATION, m.has_searcher_metric.is_(True))
        .limit(1)
    )
    latest = tx.first(searched.order_by(m.steps.desc(), m.id.desc()))
    known.latest_id, known.latest, known.latest_steps = latest or (None, None, -1)
    by_metric = m.searcher_metric.asc() if smaller_is_better else m.searcher_metric.desc()
    best = tx.first(searched.where(m.searcher_metric.is_not(None)).order_by(by_metric, m.id))
    known.best_id, known.best, _ = best or (None, None, 0)


def _follow_best(tx: Transaction, known: TrialReports, trial_id: int, smaller_is_better: bool) -> None:
    experiment_id = known.experiment_id
    best = tx.known.best.get(experiment_id) or _load_best(tx, experiment_id)
    old = best.trial_id, best.metric
    if best.metric is not None and best.trial_id == trial_id and not _keeps(known.best, best.metric, smaller_is_better):
        tx.batch.flush()
        t = trials.c
        by_metric = t.best_metric.asc() if smaller_is_better else t.best_metric.desc()
        scored = select(t.id, t.best_metric).where(t.experiment_id == experiment_id, t.best_metric.is_not(None))
        best.trial_id, best.metric = tx.first(scored.order_by(by_metric, t.id).limit(1)) or (None, None)
    elif known.best is not None and _leads(known.best, trial_id, best, smaller_is_better):
        best.trial_id, best.metric = trial_id, known.best
    if (best.trial_id, best.metric) != old:
        tx.batch.add(s.SET_EXPERIMENT_BEST, (experiment_id, best.trial_id, best.metric))


def _keeps(metric: float | None, before: float, smaller_is_better: bool) -> bool:
    return metric is not None and not _is_better(before, metric, smaller_is_better)


def _leads(metric: float, trial_id: int, best: Best, smaller_is_better: bool) -> bool:
    if best.metric is None or best.trial_id is None or _is_better(metric, best.metric, smaller_is_better):
        return True
    return metric == best.metric and trial_id < best.trial_id


def _load_best(tx: Transaction, experiment_id: int) -> Best:
    tx.batch.settle("experiments", experiment_id)
    e = experiments.c
    row = tx.first(select(e.best_trial_id, e.best_metric).where(e.id == experiment_id))
    if row is None:
        raise RowsMissing("experiments")
    return tx.known.best.setdefault(experiment_id, Best(row[0], row[1]))
