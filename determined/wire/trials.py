"""Trials and what they reported, on the wire."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from determined.domain.ids import task_id
from determined.domain.records import Checkpoint, Experiment, Metrics, Trial
from determined.domain.states import RunPhase, TrialState
from determined.wire.answers import Answer, Pagination, raw
from determined.wire.checkpoints import MetricsJson, sizes
from determined.wire.times import to_text, to_text_or_none


class MetricsWorkload(Answer, frozen=True, kw_only=True):
    """A report of metrics."""

    end_time: str
    metrics: MetricsJson
    num_inputs: int = 0
    total_batches: int


class CheckpointWorkload(Answer, frozen=True, kw_only=True):
    """A checkpoint among the reports of a trial."""

    uuid: str
    state: str
    end_time: str
    total_batches: int
    resources: dict[str, str]
    metadata: msgspec.Raw


class Workload(Answer, frozen=True, kw_only=True, omit_defaults=True):
    """Exactly one of the three."""

    training: MetricsWorkload | None = None
    validation: MetricsWorkload | None = None
    checkpoint: CheckpointWorkload | None = None


class WorkloadsAnswer(Answer, frozen=True, kw_only=True):
    """A page of what a trial reported."""

    workloads: Sequence[Workload]
    pagination: Pagination


class TrialJson(Answer, frozen=True, kw_only=True):
    """A trial."""

    id: int
    experiment_id: int
    state: str
    start_time: str
    end_time: str | None = None
    hparams: msgspec.Raw
    total_batches_processed: int
    restarts: int
    task_id: str
    runner_state: str = ""
    wall_clock_time: float = 0.0
    warm_start_checkpoint_uuid: str | None = None
    checkpoint_count: int = 0
    total_checkpoint_size: str = "0"
    best_validation: MetricsWorkload | None = None
    latest_validation: MetricsWorkload | None = None
    best_checkpoint: CheckpointWorkload | None = None
    searcher_metric_value: float | None = None
    units: float = 0.0


class TrialAnswer(Answer, frozen=True, kw_only=True):
    """One trial."""

    trial: TrialJson


class StoryAnswer(Answer, frozen=True, kw_only=True):
    """The life of a trial in sentences, in order."""

    sentences: list[str]


class TrialsAnswer(Answer, frozen=True, kw_only=True):
    """A page of trials."""

    trials: Sequence[TrialJson]
    pagination: Pagination


class BestMetric(Answer, frozen=True, kw_only=True):
    """The best searcher metric of an experiment."""

    metric: float


class ModelDefinition(Answer, frozen=True, kw_only=True):
    """A gzipped tar in base64."""

    b64_tgz: str


class MetricsReport(Answer, frozen=True, kw_only=True):
    """A report in a stream of metrics; the fields inside of ``metrics`` keep their stored spelling."""

    id: int
    trial_id: int
    trial_run_id: int
    total_batches: int
    end_time: str
    archived: bool
    group: str
    metrics: dict[str, msgspec.Raw]


class MetricsBatch(Answer, frozen=True, kw_only=True):
    """Some reports of a stream."""

    metrics: Sequence[MetricsReport]


def trial_state(trial: Trial) -> str:
    """The state for clients: an active trial is shown by how far its run has come."""
    if trial.state is not TrialState.ACTIVE:
        return f"STATE_{trial.state.value}"
    return f"STATE_{(trial.phase or RunPhase.QUEUED).value}"


def trial_json(
    trial: Trial,
    *,
    max_restarts: int,
    now: float,
    best: Metrics | None = None,
    latest: Metrics | None = None,
    checkpoint: Checkpoint | None = None,
) -> TrialJson:
    """A trial for clients.

    Args:
        max_restarts: of the experiment; more are never shown.
        best, latest: the validations that the trial names.
        checkpoint: the one with the best searcher metric.
    """
    return TrialJson(
        id=trial.id,
        experiment_id=trial.experiment_id,
        state=trial_state(trial),
        start_time=to_text(trial.created_at),
        end_time=to_text_or_none(trial.ended_at),
        hparams=raw(trial.hparams),
        total_batches_processed=trial.total_batches,
        restarts=min(trial.restarts, max_restarts),
        task_id=task_id(trial.experiment_id, trial.request_id),
        runner_state=trial.runner_state,
        wall_clock_time=max(0.0, (now if trial.ended_at is None else trial.ended_at) - trial.created_at),
        warm_start_checkpoint_uuid=trial.warm_start,
        checkpoint_count=trial.checkpoint_count,
        total_checkpoint_size=str(trial.checkpoint_size),
        best_validation=None if best is None else metrics_workload(best),
        latest_validation=None if latest is None else metrics_workload(latest),
        best_checkpoint=None if checkpoint is None else checkpoint_workload(checkpoint),
        searcher_metric_value=trial.best_metric,
        units=trial.units,
    )


def metrics_workload(m: Metrics, *, with_batches: bool = False) -> MetricsWorkload:
    """A report for clients."""
    batches: msgspec.Raw | UnsetType = raw(m.batch_metrics or "[]") if with_batches else UNSET
    return MetricsWorkload(
        end_time=to_text(m.at),
        metrics=MetricsJson(avg_metrics=raw(m.metrics), batch_metrics=batches),
        total_batches=m.steps,
    )


def checkpoint_workload(c: Checkpoint) -> CheckpointWorkload:
    """A checkpoint as a workload."""
    return CheckpointWorkload(
        uuid=c.uuid,
        state=f"STATE_{c.state.value}",
        end_time=to_text(c.reported_at),
        total_batches=c.steps,
        resources=sizes(c),
        metadata=raw(c.metadata),
    )


def workloads(
    reports: Iterable[Metrics], checkpoints: Iterable[Checkpoint], *, with_batches: bool, sort_metric: str = ""
) -> list[Workload]:
    """Everything in order of steps, then time; or of a metric, with those that lack it last."""
    rows: list[tuple[Any, Workload]] = []
    for m in reports:
        body = metrics_workload(m, with_batches=with_batches)
        work = Workload(validation=body) if m.group == "validation" else Workload(training=body)
        rows.append((_key(sort_metric, m.steps, m.at, m.metrics), work))
    for c in checkpoints:
        rows.append((_key(sort_metric, c.steps, c.reported_at, "{}"), Workload(checkpoint=checkpoint_workload(c))))
    return [work for _, work in sorted(rows, key=lambda row: row[0])]


def _key(sort_metric: str, steps: int, at: float, metrics: str) -> tuple[bool, float, int, float]:
    value: Any = msgspec.json.decode(metrics).get(sort_metric) if sort_metric else None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return False, float(value), steps, at
    return bool(sort_metric), 0.0, steps, at


def metrics_report(m: Metrics) -> MetricsReport:
    """A report for a stream."""
    name = "validation_metrics" if m.group == "validation" else "avg_metrics"
    metrics = {name: raw(m.metrics)}
    if m.batch_metrics:
        metrics["batch_metrics"] = raw(m.batch_metrics)
    elif m.group == "training":
        metrics["batch_metrics"] = raw("null")
    return MetricsReport(
        id=m.id,
        trial_id=m.trial_id,
        trial_run_id=m.run_id,
        total_batches=m.steps,
        end_time=to_text(m.at),
        archived=m.archived,
        group=m.group,
        metrics=metrics,
    )


class _Restarts(msgspec.Struct, frozen=True):
    max_restarts: int = 5


def max_restarts_of(experiment: Experiment) -> int:
    """How often a trial of the experiment is restarted, as its configuration says."""
    return msgspec.json.decode(experiment.config, type=_Restarts).max_restarts
