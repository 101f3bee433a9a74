"""Filters and sort keys of the in-memory store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from determined.domain.records import Checkpoint, Experiment, LogRecord, Metrics, Trial, User
from determined.domain.states import CheckpointState
from determined.errors import NotFound
from determined.storage.memory_tables import Tables
from determined.storage.orders import window
from determined.storage.protocol import CheckpointView, ExperimentFilter, Listing, LogFilter, Order, Page

R = TypeVar("R")


def get(what: str, table: Mapping[Any, R], key: object) -> R:
    """The row with this key.

    Raises:
        NotFound: there is none.
    """
    if key not in table:
        raise NotFound(f"{what} {key} not found")
    return table[key]


def after(rows: Mapping[int, R], number: int, limit: int | None) -> list[R]:
    """Rows with a number above the given one, in order."""
    found = [row for n, row in sorted(rows.items()) if n > number]
    return found if limit is None else found[: max(0, limit)]


def listing(
    rows: Sequence[R], key: Callable[[R], Any], row_id: Callable[[R], Any], order: Order, page: Page
) -> Listing:
    """One page of the sorted rows; ties by id, rows without a value last."""
    by_id = sorted(rows, key=row_id)
    valued = sorted((row for row in by_id if key(row) is not None), key=key, reverse=order.descending)
    everything = valued + [row for row in by_id if key(row) is None]
    start, count = window(page, len(everything))
    return Listing(everything[start : start + count], start, len(everything))


def experiment_matches(e: Experiment, where: ExperimentFilter, users: Mapping[int, User]) -> bool:
    """Whether all conditions hold."""
    owner = users.get(e.owner_id)
    return (
        where.name.lower() in e.name.lower()
        and where.description.lower() in e.description.lower()
        and set(where.labels) <= set(e.labels)
        and where.archived in (None, e.archived)
        and (not where.states or e.state in where.states)
        and (not where.usernames or (owner is not None and owner.username in where.usernames))
        and (not where.user_ids or e.owner_id in where.user_ids)
        and where.project_id in (None, e.project_id)
        and (where.ids is None or e.id in where.ids)
        and e.id not in where.not_ids
        and (where.min_id is None or e.id >= where.min_id)
        and (where.max_id is None or e.id <= where.max_id)
    )


def experiment_key(name: str, users: Mapping[int, User]) -> Callable[[Experiment], Any]:
    """What experiments are sorted by; users are sorted by name."""
    if name == "USER":
        return lambda e: users[e.owner_id].username if e.owner_id in users else None
    return _EXPERIMENT_SORT[name]


_EXPERIMENT_SORT: Final[Mapping[str, Callable[[Experiment], Any]]] = {
    "ID": lambda e: e.id,
    "DESCRIPTION": lambda e: e.description,
    "START_TIME": lambda e: e.created_at,
    "END_TIME": lambda e: e.ended_at,
    "STATE": lambda e: e.state.value,
    "NUM_TRIALS": lambda e: e.num_trials,
    "PROGRESS": lambda e: e.progress,
    "NAME": lambda e: e.name,
    "FORKED_FROM": lambda e: e.forked_from,
    "RESOURCE_POOL": lambda e: e.resource_pool,
    "PROJECT_ID": lambda e: e.project_id,
    "CHECKPOINT_SIZE": lambda e: e.checkpoint_size,
    "CHECKPOINT_COUNT": lambda e: e.checkpoint_count,
    "SEARCHER_METRIC_VAL": lambda e: e.best_metric,
}

TRIAL_SORT: Final[Mapping[str, Callable[[Trial], Any]]] = {
    "ID": lambda t: t.id,
    "START_TIME": lambda t: t.created_at,
    "END_TIME": lambda t: t.ended_at,
    "STATE": lambda t: t.state.value,
    "BEST_VALIDATION_METRIC": lambda t: t.best_metric,
    "LATEST_VALIDATION_METRIC": lambda t: t.latest_metric,
    "BATCHES_PROCESSED": lambda t: t.total_batches,
    "DURATION": lambda t: None if t.ended_at is None else t.ended_at - t.created_at,
    "RESTARTS": lambda t: t.restarts,
    "CHECKPOINT_SIZE": lambda t: t.checkpoint_size,
}

CHECKPOINT_SORT: Final[Mapping[str, Callable[[CheckpointView], Any]]] = {
    "ID": lambda v: v.checkpoint.uuid,
    "UUID": lambda v: v.checkpoint.uuid,
    "TRIAL_ID": lambda v: v.checkpoint.trial_id,
    "BATCH_NUMBER": lambda v: v.checkpoint.steps,
    "END_TIME": lambda v: v.checkpoint.reported_at,
    "STATE": lambda v: v.checkpoint.state.value,
    "SEARCHER_METRIC": lambda v: None if v.validation is None else v.validation.searcher_metric,
}


def view(tables: Tables, checkpoint: Checkpoint) -> CheckpointView:
    """A checkpoint with the reports at its steps."""
    at_steps = [m for m in tables.reports(checkpoint.trial_id) if m.steps == checkpoint.steps and not m.archived]

    def newest(group: str) -> Metrics | None:
        return max((m for m in at_steps if m.group == group), key=lambda m: m.run_id, default=None)

    hparams = tables.trials[checkpoint.trial_id].hparams
    return CheckpointView(checkpoint, newest("training"), newest("validation"), hparams)


def best_checkpoint(tables: Tables, trial_id: int) -> CheckpointView | None:
    """The COMPLETED checkpoint whose steps have the best searcher metric; the earliest of equals."""
    views = [view(tables, tables.checkpoints[u]) for u in tables.checkpoints_of.get(trial_id, ())]
    ranked = [
        (v.validation.searcher_metric, v)
        for v in views
        if v.checkpoint.state is CheckpointState.COMPLETED
        and v.validation is not None
        and v.validation.searcher_metric is not None
    ]
    if not ranked:
        return None
    sign = 1 if tables.experiments[ranked[0][1].checkpoint.experiment_id].smaller_is_better else -1
    return min(ranked, key=lambda r: (sign * r[0], r[1].checkpoint.steps, r[1].checkpoint.uuid))[1]


def log_matches(r: LogRecord, where: LogFilter) -> bool:
    """Whether all conditions hold."""
    return (
        (not where.levels or r.level in where.levels)
        and (not where.rank_ids or r.rank in where.rank_ids)
        and (not where.stdtypes or r.stdtype in where.stdtypes)
        and (not where.sources or r.source in where.sources)
        and (not where.agent_ids or r.agent_id in where.agent_ids)
        and (not where.container_ids or r.container_id in where.container_ids)
        and (not where.allocation_ids or r.allocation_id in where.allocation_ids)
        and (where.before is None or r.at <= where.before)
        and (where.after is None or r.at > where.after)
        and where.text.lower() in r.text.lower()
    )


def log_values(records: Iterable[LogRecord]) -> Mapping[str, Sequence[str]]:
    """The values that occur for each list of ``LogFilter``."""
    rows = list(records)
    return {
        "levels": _distinct(r.level for r in rows),
        "rank_ids": [str(n) for n in sorted({r.rank for r in rows if r.rank is not None})],
        "stdtypes": _distinct(r.stdtype for r in rows),
        "sources": _distinct(r.source for r in rows),
        "agent_ids": _distinct(r.agent_id for r in rows),
        "container_ids": _distinct(r.container_id for r in rows),
        "allocation_ids": _distinct(r.allocation_id for r in rows),
    }


def _distinct(values: Iterable[str]) -> Sequence[str]:
    return sorted({v for v in values if v})
