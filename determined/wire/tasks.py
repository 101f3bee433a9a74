"""Tasks and allocations on the wire: a trial is a task, each of its runs an allocation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from determined.domain.ids import task_id
from determined.domain.records import LogRecord, Run, Trial
from determined.errors import InvalidInput
from determined.wire.answers import Answer
from determined.wire.logs import level_from_name, parse_line
from determined.wire.server import POOL
from determined.wire.times import from_text, to_text, to_text_or_none


class AllocationJson(Answer, frozen=True, kw_only=True):
    """A run of a task."""

    allocation_id: str
    task_id: str
    state: str
    is_ready: bool
    start_time: str
    end_time: str | None = None


class TaskJson(Answer, frozen=True, kw_only=True):
    """A task and its runs."""

    task_id: str
    task_type: str = "TASK_TYPE_TRIAL"
    start_time: str
    end_time: str | None = None
    allocations: Sequence[AllocationJson]


class TaskAnswer(Answer, frozen=True, kw_only=True):
    """One task."""

    task: TaskJson


class AllocationSummary(Answer, frozen=True, kw_only=True):
    """A run that waits for slots or lives."""

    task_id: str
    allocation_id: str
    name: str
    registered_time: str
    resource_pool: str = POOL
    slots_needed: int
    resources: Sequence[Any] = ()
    scheduler_type: str = "priority"
    priority: int
    proxy_ports: Sequence[Any] = ()
    state: str = ""
    waiting_for: str = ""


class TasksAnswer(Answer, frozen=True, kw_only=True):
    """Every run that waits or lives."""

    allocation_id_to_summary: Mapping[str, AllocationSummary]


class LegacySummary(msgspec.Struct, frozen=True, kw_only=True):
    """The same with the older spelling of its fields."""

    task_id: str
    allocation_id: str
    name: str
    registered_time: str
    resource_pool: str
    slots_needed: int
    resources: Sequence[Any]
    scheduler_type: str
    priority: int


Text = Annotated[str, Meta(max_length=1024)]


class ShippedLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A log line that a forwarder sends."""

    task_id: Text = ""
    allocation_id: Text = ""
    timestamp: Text = ""
    level: Text = ""
    log: str = ""
    rank_id: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    stdtype: Text = ""
    source: Text = ""
    agent_id: Text = ""
    container_id: Text = ""


class ShippedLogs(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Log lines that a forwarder sends."""

    logs: list[ShippedLine] = []


def legacy(summary: AllocationSummary) -> LegacySummary:
    """A summary in the older spelling."""
    return LegacySummary(**{name: getattr(summary, name) for name in LegacySummary.__struct_fields__})


def allocation_json(run: Run, trial: Trial) -> AllocationJson:
    """A run of a trial for clients; the trial knows how far its newest run has come."""
    is_live = run.ended_at is None and run.run_id == trial.run_id and trial.phase is not None
    phase = trial.phase.value if is_live and trial.phase is not None else "TERMINATED"
    return AllocationJson(
        allocation_id=run.allocation_id,
        task_id=task_id(trial.experiment_id, trial.request_id),
        state=f"STATE_{phase}",
        is_ready=phase == "RUNNING",
        start_time=to_text(run.granted_at),
        end_time=to_text_or_none(run.ended_at),
    )


def log_records(line: ShippedLine, run: Run, now: float) -> list[LogRecord]:
    """One record per line of a shipped text.

    Raises:
        InvalidInput: its time or level cannot be read.
    """
    at = from_text(line.timestamp) if line.timestamp else now
    given = level_from_name(line.level) if line.level else ""
    if line.allocation_id and line.allocation_id != run.allocation_id:
        raise InvalidInput(f"allocation {line.allocation_id!a} does not belong to task {line.task_id!a}")
    records = []
    for text in line.log.rstrip("\n").split("\n"):
        rank, level, rest = parse_line(text)
        records.append(
            LogRecord(
                trial_id=run.trial_id,
                run_id=run.run_id,
                allocation_id=run.allocation_id,
                at=at,
                text=rest if rank is not None or level else text,
                level=level or given,
                rank=line.rank_id if rank is None else rank,
                stdtype=line.stdtype,
                source=line.source,
                agent_id=line.agent_id or run.agent,
                container_id=line.container_id,
            )
        )
    return records
