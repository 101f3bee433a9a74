"""What trials report and ask while they run. These are the busiest routes."""

from __future__ import annotations

from determined.errors import InvalidInput
from determined.master.api.access import reporting_run
from determined.master.api.call import Call, Handled
from determined.master.api.routing import Access, Routes
from determined.wire import reports as wire

routes = Routes()


@routes.add("POST", "/v1/trials/{trial_id}/progress", access=Access.RUN, request=float, parameters=["report"])
async def report_progress(call: Call) -> Handled:
    """Report how far the trial has come, as a bare number; a report that is sent again under its name counts once."""
    units = wire.progress(await call.body())
    await call.service.report_progress(await reporting_run(call), units, call.query.text("report"))


@routes.add("GET", "/v1/trials/{trial_id}/searcher/operation", access=Access.RUN, answer=wire.CurrentOperation)
async def current_operation(call: Call) -> Handled:
    """Get the trial's current operation; may be held while the search decides."""
    run = await reporting_run(call)
    async with call.connected():
        current = await call.service.next_operation(run)
    return wire.current_operation(current.length, current.completed)


@routes.add(
    "POST",
    "/v1/trials/{trial_id}/searcher/completed_operation",
    access=Access.RUN,
    request=wire.CompletedOperation,
    answer=wire.CompletionTaken,
)
async def complete_operation(call: Call) -> Handled:
    """Report that the trial's current operation is done."""
    done = await call.request(wire.CompletedOperation)
    run = await reporting_run(call)
    is_last = await call.service.report_completed(run, done.op.length, wire.searcher_metric(done))
    return wire.CompletionTaken(done=is_last)


@routes.add("POST", "/v1/trials/{trial_id}/training_metrics", access=Access.RUN, request=wire.ReportedMetrics)
async def report_training_metrics(call: Call) -> Handled:
    """Report training metrics."""
    await _report(call, "training", await call.request(wire.ReportedMetrics))


@routes.add("POST", "/v1/trials/{trial_id}/validation_metrics", access=Access.RUN, request=wire.ReportedMetrics)
async def report_validation_metrics(call: Call) -> Handled:
    """Report validation metrics."""
    await _report(call, "validation", await call.request(wire.ReportedMetrics))


@routes.add("POST", "/v1/trials/{trial_id}/metrics", access=Access.RUN, request=wire.GroupedMetrics)
async def report_grouped_metrics(call: Call) -> Handled:
    """Report metrics under a group name."""
    grouped = await call.request(wire.GroupedMetrics)
    await _report(call, grouped.group, grouped.metrics)


async def _report(call: Call, group: str, report: wire.ReportedMetrics) -> None:
    if report.trial_id not in (None, 0, call.trial_id):
        raise InvalidInput(f"the report is of trial {report.trial_id}, the path says trial {call.trial_id}")
    averages, batches = wire.metrics_of(report)
    run = await reporting_run(call)
    await call.service.report_metrics(run, group, report.trial_run_id, report.steps_completed, averages, batches)


@routes.add("POST", "/v1/trials/{trial_id}/early_exit", access=Access.RUN, request=wire.EarlyExit)
async def report_early_exit(call: Call) -> Handled:
    """Report that the trial is about to end by itself, and why."""
    is_invalid_hp = (await call.request(wire.EarlyExit)).is_invalid_hp()
    run = await reporting_run(call)
    if is_invalid_hp:
        await call.service.report_invalid_hp(run)


@routes.add("POST", "/v1/trials/{trial_id}/runner/metadata", access=Access.RUN, request=wire.RunnerMetadata)
async def report_runner_state(call: Call) -> Handled:
    """Say what the training script is doing."""
    state = (await call.request(wire.RunnerMetadata)).state
    await call.service.set_runner_state(await reporting_run(call), state)
