"""Metrics as trials reported them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from determined.common.api.session import Session
from determined.common.util import parse_time
from determined.wire.values import restore


@dataclass
class TrainingMetrics:
    """One report of training metrics.

    Attributes:
        trial_id: whose.
        trial_run_id: which run of that trial.
        steps_completed: training done by then.
        end_time: of the report.
        metrics: averages, by name.
        batch_metrics: by batch, if they were reported.
    """

    trial_id: int
    trial_run_id: int
    steps_completed: int
    end_time: datetime
    metrics: dict[str, Any]
    batch_metrics: list[dict[str, Any]] | None = None


@dataclass
class ValidationMetrics:
    """One report of validation metrics; fields as in ``TrainingMetrics``."""

    trial_id: int
    trial_run_id: int
    steps_completed: int
    end_time: datetime
    metrics: dict[str, Any]


def stream_training_metrics(session: Session, trial_ids: Sequence[int]) -> Iterator[TrainingMetrics]:
    """Training metrics of some trials, by trial, run and steps."""
    for report in _reports(session, "training_metrics", trial_ids):
        values = restore(report["metrics"])
        yield TrainingMetrics(
            **_common(report), metrics=values["avg_metrics"], batch_metrics=values.get("batch_metrics")
        )


def stream_validation_metrics(session: Session, trial_ids: Sequence[int]) -> Iterator[ValidationMetrics]:
    """Validation metrics of some trials, by trial, run and steps."""
    for report in _reports(session, "validation_metrics", trial_ids):
        yield ValidationMetrics(**_common(report), metrics=restore(report["metrics"])["validation_metrics"])


def _reports(session: Session, kind: str, trial_ids: Sequence[int]) -> Iterator[Mapping[str, Any]]:
    for line in session.stream(f"/api/v1/trials/metrics/{kind}", {"trialIds": list(trial_ids)}):
        yield from line["result"]["metrics"]


def _common(report: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "trial_id": int(report["trialId"]),
        "trial_run_id": int(report["trialRunId"]),
        "steps_completed": int(report["totalBatches"]),
        "end_time": parse_time(report["endTime"]),
    }
