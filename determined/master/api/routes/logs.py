"""Logs of trials, under the names of trials and of tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from determined.domain.records import LogRecord, Trial
from determined.errors import InvalidInput
from determined.master.api.access import readable_trial
from determined.master.api.call import Call, Handled
from determined.master.api.paging import is_descending
from determined.master.api.query import Query
from determined.master.api.routes.tasks import trial_of_task
from determined.master.api.routing import Access, Routes
from determined.master.api.sending import Stream
from determined.storage.protocol import LogFilter
from determined.wire.logs import LogEntry, LogFields, level_from_name, log_entry, log_fields
from determined.wire.times import from_text

routes = Routes()
LINES_AT_ONCE: Final = 1000
PARAMETERS: Final = (
    "follow",
    "limit",
    "orderBy",
    "agentIds",
    "containerIds",
    "rankIds",
    "levels",
    "stdtypes",
    "sources",
    "allocationIds",
    "timestampBefore",
    "timestampAfter",
    "searchText",
)


@routes.add(
    "GET",
    "/v1/trials/{trial_id}/logs",
    access=Access.RUN,
    answer=LogEntry,
    streams=True,
    parameters=PARAMETERS,
)
async def trial_logs(call: Call) -> Handled:
    """Stream the log of a trial."""
    return _logs(call, await readable_trial(call, call.trial_id))


@routes.add("GET", "/v1/tasks/{task_id}/logs", access=Access.RUN, answer=LogEntry, streams=True, parameters=PARAMETERS)
async def task_logs(call: Call) -> Handled:
    """Stream the log of a task."""
    return _logs(call, await trial_of_task(call, call.path("task_id")), call.path("task_id"))


@routes.add(
    "GET",
    "/v1/trials/{trial_id}/logs/fields",
    access=Access.RUN,
    answer=LogFields,
    streams=True,
    parameters=["follow"],
)
async def trial_log_fields(call: Call) -> Handled:
    """Stream the values that occur in a trial's log, for each filter."""
    return _fields(call, await readable_trial(call, call.trial_id))


@routes.add("GET", "/v1/tasks/{task_id}/logs/fields", access=Access.RUN, answer=LogFields, streams=True)
async def task_log_fields(call: Call) -> Handled:
    """Stream the values that occur in a task's log, for each filter."""
    return _fields(call, await trial_of_task(call, call.path("task_id")))


def _logs(call: Call, trial: Trial, task_id: str | None = None) -> Stream:
    query, where = call.query, _where(call.query)
    limit, follow, descending = query.integer("limit"), query.boolean("follow"), is_descending(query)
    if follow and limit > 0:
        raise InvalidInput("limit cannot be combined with follow; leave one of them out")
    if follow and not descending:
        return Stream(_entries(call.service.follow_logs(trial.id, where), task_id))
    return Stream(_entries(_stored(call, trial, where, limit, descending), task_id))


async def _stored(
    call: Call, trial: Trial, where: LogFilter, limit: int, descending: bool
) -> AsyncIterator[Sequence[LogRecord]]:
    if descending:
        yield await call.store.read_logs(trial.id, where, 0, limit if limit > 0 else None, True)
        return
    after, left = 0, limit if limit > 0 else None
    while left is None or left > 0:
        count = LINES_AT_ONCE if left is None else min(left, LINES_AT_ONCE)
        records = await call.store.read_logs(trial.id, where, after, count, False)
        if not records:
            return
        yield records
        after = records[-1].id
        left = None if left is None else left - len(records)


async def _entries(batches: AsyncIterator[Sequence[LogRecord]], task_id: str | None) -> AsyncIterator[list[LogEntry]]:
    async for records in batches:
        yield [log_entry(record, task_id) for record in records]


def _fields(call: Call, trial: Trial) -> Stream:
    async def once() -> AsyncIterator[list[LogFields]]:
        yield [log_fields(await call.store.log_fields(trial.id))]

    return Stream(once())


def _where(query: Query) -> LogFilter:
    before, after = query.text("timestampBefore"), query.text("timestampAfter")
    return LogFilter(
        levels=tuple(level_from_name(text) for text in query.texts("levels")),
        rank_ids=query.integers("rankIds"),
        stdtypes=query.texts("stdtypes"),
        sources=query.texts("sources"),
        agent_ids=query.texts("agentIds"),
        container_ids=query.texts("containerIds"),
        allocation_ids=query.texts("allocationIds"),
        before=from_text(before) if before else None,
        after=from_text(after) if after else None,
        text=query.text("searchText"),
    )
