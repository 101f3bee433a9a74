"""Records with sensible fields, so that a test names only what it is about."""

from __future__ import annotations

import uuid
from typing import Any

from msgspec.structs import replace

from determined.domain.ids import ExperimentId, RunId, TrialId, UserId
from determined.domain.records import (
    Checkpoint,
    EventRow,
    Experiment,
    JournalRow,
    LogRecord,
    Metrics,
    Run,
    Trial,
    User,
)
from determined.domain.states import CheckpointState, ExperimentState, TrialState
from determined.storage.protocol import PutMetrics


def make_user(number: int = 1, **changes: Any) -> User:
    """A user called ``user<number>``."""
    return replace(User(id=UserId(number), username=f"user{number}", password_hash=""), **changes)


def make_experiment(number: int = 1, **changes: Any) -> Experiment:
    """An active experiment of user 1."""
    experiment = Experiment(
        id=ExperimentId(number),
        owner_id=UserId(1),
        name=f"experiment {number}",
        state=ExperimentState.ACTIVE,
        config='{"searcher": {"name": "custom"}}',
        original_config="searcher: {name: custom}",
        searcher_type="custom",
        metric="loss",
        smaller_is_better=True,
        context="",
        job_id=f"job-{number}",
        created_at=1000.0 + number,
    )
    return replace(experiment, **changes)


def make_trial(number: int = 1, experiment: int = 1, **changes: Any) -> Trial:
    """An active trial that has not run."""
    trial = Trial(
        id=TrialId(number),
        experiment_id=ExperimentId(experiment),
        request_id=uuid.UUID(int=number),
        state=TrialState.ACTIVE,
        hparams='{"lr": 1.0}',
        seed=number,
        created_at=2000.0 + number,
    )
    return replace(trial, **changes)


def make_run(trial: int = 1, run: int = 1, **changes: Any) -> Run:
    """A live run."""
    record = Run(
        allocation_id=f"1.{trial}.{run}",
        experiment_id=ExperimentId(1),
        trial_id=TrialId(trial),
        run_id=RunId(run),
        agent="local",
        slot_ids=(0, 1),
        granted_at=3000.0,
    )
    return replace(record, **changes)


def make_report(trial: int, run: int, group: str, steps: int, metric: float | None, **changes: Any) -> Metrics:
    """A report that holds the searcher metric; ``metric`` None for one that is not finite."""
    record = Metrics(
        experiment_id=ExperimentId(1),
        trial_id=TrialId(trial),
        run_id=RunId(run),
        group=group,
        steps=steps,
        at=4000.0 + steps,
        metrics='{"loss": 1.0}',
        has_searcher_metric=True,
        searcher_metric=metric,
    )
    return replace(record, **changes)


def validated(
    trial: int, steps: int, metric: float | None, run: int = 1, smaller: bool = True, **changes: Any
) -> PutMetrics:
    """A validation to store."""
    return PutMetrics(make_report(trial, run, "validation", steps, metric, **changes), smaller)


def trained(trial: int, steps: int, run: int = 1, group: str = "training") -> PutMetrics:
    """A training report to store, without the searcher metric."""
    return PutMetrics(make_report(trial, run, group, steps, None, has_searcher_metric=False), True)


def make_checkpoint(name: str, trial: int = 1, steps: int = 1, **changes: Any) -> Checkpoint:
    """A completed checkpoint of 10 bytes."""
    record = Checkpoint(
        uuid=name,
        experiment_id=ExperimentId(1),
        trial_id=TrialId(trial),
        run_id=RunId(1),
        task_id=f"1.{trial}",
        allocation_id=f"1.{trial}.1",
        state=CheckpointState.COMPLETED,
        steps=steps,
        reported_at=5000.0 + steps,
        resources='{"file": 10}',
        metadata="{}",
        size=10,
    )
    return replace(record, **changes)


def make_line(text: str, trial: int = 1, **changes: Any) -> LogRecord:
    """A line of a trial's first run."""
    record = LogRecord(trial_id=TrialId(trial), run_id=RunId(1), allocation_id=f"1.{trial}.1", at=6000.0, text=text)
    return replace(record, **changes)


def make_fact(seq: int, experiment: int = 1) -> JournalRow:
    """A row of the journal."""
    return JournalRow(experiment_id=ExperimentId(experiment), seq=seq, at=1.0, kind="kind", format=1, body=b"%d" % seq)


def make_event(number: int, experiment: int = 1) -> EventRow:
    """A row of the queue."""
    return EventRow(experiment_id=ExperimentId(experiment), id=number, seq=number, body=b"%d" % number)
