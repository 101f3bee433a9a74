"""Tasks: trials and their runs, under the names that the cluster's tools use."""

from __future__ import annotations

import time
from collections.abc import Mapping

from determined.domain.ids import ExperimentId
from determined.domain.records import Run, Trial
from determined.errors import NotFound, PermissionDenied
from determined.master.api.access import check_experiment
from determined.master.api.call import Call, Handled
from determined.master.api.routes.experiments import packed_model_definition
from determined.master.api.routing import Access, Routes
from determined.master.service.ports import AllocationView
from determined.storage.protocol import AppendLogs, Order, Page
from determined.wire import tasks as wire
from determined.wire.requests import convert, decode
from determined.wire.times import to_text, to_text_or_none
from determined.wire.trials import ModelDefinition

routes = Routes()


@routes.add("GET", "/v1/tasks", answer=wire.TasksAnswer)
async def list_tasks(call: Call) -> Handled:
    """List the runs that wait for slots or live."""
    return wire.TasksAnswer(allocation_id_to_summary=_summaries(call))


@routes.add("GET", "/tasks", answer=Mapping[str, wire.LegacySummary])
async def list_tasks_legacy(call: Call) -> Handled:
    """List the runs that wait for slots or live."""
    return {name: wire.legacy(summary) for name, summary in _summaries(call).items()}


@routes.add("GET", "/v1/tasks/{task_id}", access=Access.RUN, answer=wire.TaskAnswer)
async def get_task(call: Call) -> Handled:
    """Get a task and its runs."""
    name = call.path("task_id")
    trial = await trial_of_task(call, name)
    runs = await call.store.list_runs(trial.id)
    task = wire.TaskJson(
        task_id=name,
        start_time=to_text(trial.created_at),
        end_time=to_text_or_none(trial.ended_at),
        allocations=[wire.allocation_json(run, trial) for run in runs],
    )
    return wire.TaskAnswer(task=task)


@routes.add("GET", "/v1/tasks/{task_id}/context_directory", access=Access.RUN, answer=ModelDefinition)
async def context_directory(call: Call) -> Handled:
    """Get the model definition of a task's experiment as a gzipped tar."""
    trial = await trial_of_task(call, call.path("task_id"))
    return await packed_model_definition(call, trial.experiment_id)


@routes.add("POST", "/v1/task/logs", access=Access.RUN, request=wire.ShippedLogs)
async def ship_logs(call: Call) -> Handled:
    """Take in log lines from a forwarder."""
    await _take_in(call, (await call.request(wire.ShippedLogs)).logs)


@routes.add("POST", "/task-logs", access=Access.RUN, request=list[wire.ShippedLine])
async def ship_logs_legacy(call: Call) -> Handled:
    """Take in log lines from a forwarder."""
    await _take_in(call, convert(decode(await call.body()) or [], list[wire.ShippedLine]))


async def _take_in(call: Call, lines: list[wire.ShippedLine]) -> None:
    runs = {key: await _run_of_line(call, line) for line in lines for key in [(line.task_id, line.allocation_id)]}
    now = time.time()
    unit = [
        AppendLogs(tuple(wire.log_records(line, run, now)))
        for line in lines
        for run in [runs[line.task_id, line.allocation_id]]
    ]
    if unit:
        await call.store.write(unit)
        call.service.tell_of_logs(runs.values())


async def _run_of_line(call: Call, line: wire.ShippedLine) -> Run:
    trial = await trial_of_task(call, line.task_id)
    if not call.asking.is_user and (call.asking.run is None or call.asking.run.trial_id != trial.id):
        raise PermissionDenied(f"the token of this run does not reach task {line.task_id[:80]!a}")
    runs = await call.store.list_runs(trial.id)
    named = [run for run in runs if not line.allocation_id or run.allocation_id == line.allocation_id]
    if not named:
        raise NotFound(f"task {line.task_id[:80]!a} has no run {line.allocation_id[:80]!a} that could log")
    return named[-1]


async def trial_of_task(call: Call, name: str) -> Trial:
    """The trial that a task id names, if whoever asks may read it.

    Raises:
        NotFound: there is none.
        PermissionDenied: it is of another experiment than the run that asks.
    """
    number, _, request_id = name.partition(".")
    if not (number.isascii() and number.isdigit() and len(number) < 10 and request_id):
        raise NotFound(f"task {name[:80]!a} not found")
    experiment_id = ExperimentId(int(number))
    check_experiment(call, experiment_id)
    first = await call.store.find_run(f"{name}.1")
    if first is not None:
        return await call.store.get_trial(first.trial_id)
    # It may never have had a run; then only the list of trials knows it.
    listing = await call.store.list_trials(experiment_id, (), Order(), Page())
    for trial in listing.rows:
        if str(trial.request_id) == request_id.lower():
            found: Trial = trial
            return found
    raise NotFound(f"task {name[:80]!a} not found")


def _summaries(call: Call) -> dict[str, wire.AllocationSummary]:
    return {view.key.allocation_id: _summary(view) for view in call.service.allocations()}


def _summary(view: AllocationView) -> wire.AllocationSummary:
    key = view.key
    return wire.AllocationSummary(
        task_id=key.allocation_id.rpartition(".")[0],
        allocation_id=key.allocation_id,
        name=f"Trial {key.trial_id} (Experiment {key.experiment_id})",
        registered_time=to_text(view.registered_at),
        slots_needed=view.slots,
        priority=view.priority,
        state=f"STATE_{view.state}",
        waiting_for=view.waiting_for,
    )
