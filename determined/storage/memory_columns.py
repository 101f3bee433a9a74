"""The queries for tables and charts of the in-memory store."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from determined.domain.records import Trial
from determined.domain.states import ExperimentState, TrialState
from determined.storage import memory_queries as q
from determined.storage.memory_tables import Tables
from determined.storage.protocol import STRETCHES, ExperimentFilter, SearcherPoint, Tally, TallyQuery, TrialRow


def count_states(tables: Tables, where: ExperimentFilter) -> Mapping[ExperimentState, int]:
    """How many experiments of each state match."""
    return Counter(e.state for e in tables.experiments.values() if q.experiment_matches(e, where, tables.users))


def trial_rows(tables: Tables, experiment_id: int, trial_ids: Sequence[int] | None) -> Sequence[TrialRow]:
    """An experiment's trials by id: all, or those named."""
    own = tables.trials_of.get(experiment_id, {})
    wanted = sorted(own) if trial_ids is None else sorted(set(trial_ids) & own.keys())
    return [_row(tables, tables.trials[i]) for i in wanted]


def _row(tables: Tables, t: Trial) -> TrialRow:
    best = None if t.best_validation is None else tables.metrics.get(t.best_validation)
    return TrialRow(
        id=t.id,
        state=t.state.value,
        phase=None if t.phase is None else t.phase.value,
        units=t.units,
        total_batches=t.total_batches,
        best_metric=t.best_metric,
        best_steps=None if best is None else best.steps,
        latest_metric=t.latest_metric,
        checkpoint_count=t.checkpoint_count,
        restarts=t.restarts,
        created_at=t.created_at,
        ended_at=t.ended_at,
        hparams=t.hparams,
    )


def tally(tables: Tables, query: TallyQuery) -> Tally:
    """The trials of an experiment, counted."""
    trials = [tables.trials[i] for i in sorted(tables.trials_of.get(query.experiment_id, ()))]
    reached = [t.units if t.units > 0 else t.total_batches for t in trials]
    longest = max(reached, default=0.0) if query.longest is None else query.longest
    short = sum(t.state is TrialState.COMPLETED and r < longest for t, r in zip(trials, reached, strict=True))
    return Tally(Counter(t.state.value for t in trials), longest, short, _best(trials, query.smaller_is_better))


def _best(trials: Sequence[Trial], smaller_is_better: bool) -> list[float]:
    if not trials:
        return []
    first, last = trials[0].id, trials[-1].id
    stretches = min(STRETCHES, last - first + 1)
    best: dict[int, float] = {}
    for t in trials:
        if t.best_metric is not None:
            place = (t.id - first) * stretches // (last - first + 1)
            sign = 1 if smaller_is_better else -1
            best[place] = min(t.best_metric, best.get(place, sign * math.inf), key=lambda metric: sign * metric)
    return [metric for _, metric in sorted(best.items())]


def searcher_points(tables: Tables, trial_ids: Sequence[int], after_id: int) -> Sequence[SearcherPoint]:
    """The searched metric in live validations of some trials, where it is finite, by (trial, steps, id)."""
    found = [
        SearcherPoint(m.id, trial_id, m.steps, m.searcher_metric)
        for trial_id in set(trial_ids)
        for m in tables.reports(trial_id)
        if m.group == "validation" and not m.archived and m.searcher_metric is not None and m.id > after_id
    ]
    return sorted(found, key=lambda p: (p.trial_id, p.steps, p.report_id))
