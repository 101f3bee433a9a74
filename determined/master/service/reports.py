"""What trials report: each report is one fact, refused when it comes from a run that is over."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from determined.domain import facts
from determined.domain.ids import RunId, task_id
from determined.domain.records import Checkpoint, Metrics
from determined.domain.states import CheckpointState
from determined.engine.trial import Trial
from determined.errors import InvalidInput, NotFound, StaleRun
from determined.master.service.commit import Commits
from determined.master.service.lane import Lane
from determined.master.service.ports import RunKey
from determined.storage import protocol as db
from determined.wire.values import protect

_encode = msgspec.json.Encoder().encode
VALIDATION = "validation"
MAX_STEPS = 2**63 - 1
MAX_REPORT_NAME = 64


class Reports:
    """Takes in the reports of trials."""

    def __init__(self, commits: Commits, clock: Callable[[], float]) -> None:
        self.commits = commits
        self.clock = clock

    async def _live(self, run: RunKey) -> tuple[Lane, Trial]:
        lane = await self.commits.lane(run.experiment_id)
        if lane is None:
            raise StaleRun(f"experiment {run.experiment_id} is over; run {run.run_id} reports too late")
        trial, _ = lane.engine.current_run(run.trial_id, run.run_id)
        return lane, trial

    async def seen(self, run: RunKey) -> None:
        """The run has passed the start line."""
        lane, _ = await self._live(run)
        await self.commits.commit(lane, facts.RunSeen(at=self.clock(), trial_id=run.trial_id, run_id=run.run_id))

    async def progress(self, run: RunKey, units: float, report: str) -> None:
        """The trial has come this far."""
        if not math.isfinite(units) or units < 0:
            raise InvalidInput(f"progress must be a finite length >= 0, got {units}")
        if len(report) > MAX_REPORT_NAME:
            raise InvalidInput(f"the name of a report is {len(report)} characters long (allowed: {MAX_REPORT_NAME})")
        lane, _ = await self._live(run)
        fact = facts.ProgressReported(
            at=self.clock(), trial_id=run.trial_id, run_id=run.run_id, units=units, report=report
        )
        await self.commits.commit(lane, fact)

    async def completed(self, run: RunKey, length: int, metric: Any) -> bool:
        """The trial trained to its operation's length and validated.

        Returns:
            Whether it gets no other operation; nothing changes that any more.
        """
        if metric is None:
            raise InvalidInput('searcherMetric is null; report the metric\'s value, NaN as the string "NaN"')
        lane, trial = await self._live(run)
        fact = facts.OperationCompleted(
            at=self.clock(), trial_id=run.trial_id, run_id=run.run_id, length=length, metric=metric
        )
        await self.commits.commit(lane, fact)
        return trial.closed and trial.complete

    async def invalid_hp(self, run: RunKey) -> None:
        """The trial's hyperparameters cannot be trained."""
        lane, _ = await self._live(run)
        fact = facts.EarlyExitReported(at=self.clock(), trial_id=run.trial_id, run_id=run.run_id)
        await self.commits.commit(lane, fact)

    async def acknowledge_exit(self, run: RunKey) -> None:
        """The run will exit by itself."""
        lane, _ = await self._live(run)
        fact = facts.ExitAcknowledged(at=self.clock(), trial_id=run.trial_id, run_id=run.run_id)
        await self.commits.commit(lane, fact)

    async def request_preemption(self, run: RunKey) -> None:
        """The platform is about to take the run's slots."""
        lane, _ = await self._live(run)
        fact = facts.PreemptionRequested(at=self.clock(), trial_id=run.trial_id, run_id=run.run_id)
        await self.commits.commit(lane, fact)

    async def runner_state(self, run: RunKey, state: str) -> None:
        """What the training script says it is doing."""
        lane, _ = await self._live(run)
        await self.commits.store.write([db.UpdateRunnerState(id=run.trial_id, runner_state=state)], lane=lane.id)

    async def metrics(
        self,
        run: RunKey,
        group: str,
        trial_run_id: int,
        steps: int,
        metrics: Mapping[str, Any],
        batch_metrics: Sequence[Any] | None,
    ) -> None:
        """A training or validation report. ``metrics`` may hold non-finite numbers as floats."""
        if not 0 <= steps <= MAX_STEPS:
            raise InvalidInput(f"steps_completed must be between 0 and {MAX_STEPS}, got {steps}")
        lane, trial = await self._live(run)
        if trial_run_id != run.run_id:
            raise StaleRun(f"trial_run_id {trial_run_id} is not the current run of trial {trial.id} ({run.run_id})")
        at = self.clock()
        found, value = _searcher_metric(metrics, lane.record.metric) if group == VALIDATION else (False, None)
        row = Metrics(
            experiment_id=lane.id,
            trial_id=run.trial_id,
            run_id=run.run_id,
            group=group,
            steps=steps,
            at=at,
            metrics=_encode(protect(metrics)).decode(),
            batch_metrics="" if batch_metrics is None else _encode(protect(batch_metrics)).decode(),
            has_searcher_metric=found,
            searcher_metric=value,
        )
        fact = facts.MetricsReported(at=at, trial_id=run.trial_id, run_id=run.run_id, group=group, steps=steps)
        put = db.PutMetrics(metrics=row, smaller_is_better=lane.record.smaller_is_better)
        await self.commits.commit(lane, fact, [put])

    async def checkpoint(
        self, run: RunKey, uuid: str, task: str, resources: Mapping[str, int], metadata: Mapping[str, Any]
    ) -> None:
        """A checkpoint whose files are complete in storage."""
        lane, trial = await self._live(run)
        own = task_id(lane.id, trial.request_id)
        if task != own:
            raise NotFound(f"task {task!r} is not the task of this run ({own})")
        steps = metadata.get("steps_completed")
        if isinstance(steps, bool) or not isinstance(steps, int) or not 0 <= steps <= MAX_STEPS:
            raise InvalidInput(f"metadata.steps_completed must be an integer >= 0, got {steps!r}")
        at = self.clock()
        row = Checkpoint(
            uuid=uuid,
            experiment_id=lane.id,
            trial_id=run.trial_id,
            run_id=RunId(run.run_id),
            task_id=own,
            allocation_id=run.allocation_id,
            state=CheckpointState.COMPLETED,
            steps=steps,
            reported_at=at,
            resources=json.dumps(dict(resources)),
            metadata=_encode(protect(metadata)).decode(),
            size=sum(resources.values()),
        )
        fact = facts.CheckpointReported(at=at, trial_id=run.trial_id, run_id=run.run_id, uuid=uuid, steps=steps)
        await self.commits.commit(lane, fact, [db.PutCheckpoint(checkpoint=row)])


def _searcher_metric(metrics: Mapping[str, Any], name: str) -> tuple[bool, float | None]:
    """Whether the searched metric is there, and its value if it can be ranked."""
    if name not in metrics:
        return False, None
    value = metrics[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return True, None
    return True, float(value)
