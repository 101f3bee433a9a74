"""Custom search: the queue of events, and the operations that answer them."""

from __future__ import annotations

from typing import Any, Final

from determined.master.api.access import check_experiment
from determined.master.api.call import Call, Handled
from determined.master.api.routing import Access, Routes
from determined.master.api.sending import Stream, Whole
from determined.master.service.ports import EventsAnswer
from determined.wire import search_requests as wire
from determined.wire.searcher import operations_from_json
from determined.wire.trials import BestMetric

routes = Routes()
_BEGIN: Final = b'{"searcherEvents":['


@routes.add("GET", "/v1/experiments/{experiment_id}/searcher_events", answer=wire.SearcherEvents)
async def searcher_events(call: Call) -> Handled:
    """Get every queued event; held until there is one, or until a minute has passed."""
    experiment_id = call.experiment_id
    async with call.connected():
        found = await call.service.fetch_events(experiment_id)
    return Whole(_events_body(found))


def _events_body(found: EventsAnswer) -> bytes:
    if found.inactive_state is not None:
        state = found.inactive_state.encode()
        return _BEGIN + b'{"id":-1,"experimentInactive":{"experimentState":"STATE_' + state + b'"}}]}'
    return _BEGIN + b",".join(bytes(event) for event in found.events) + b"]}"


@routes.add("POST", "/v1/experiments/{experiment_id}/searcher_operations", request=wire.PostOperations)
async def post_operations(call: Call) -> Handled:
    """Apply a batch of operations, all or nothing, and acknowledge the events up to the one that caused it."""
    posted = await call.request(wire.PostOperations)
    operations = operations_from_json(posted.searcher_operations)
    await call.service.post_operations(call.experiment_id, operations, posted.trigger, posted.epoch, posted.words)


@routes.add("POST", "/v1/experiments/{experiment_id}/searcher_attach", request=wire.Attach, answer=wire.Attached)
async def attach(call: Call) -> Handled:
    """Let a search runner take over; operations of those before it are refused from then on."""
    asked = await call.request(wire.Attach)
    return wire.Attached(epoch=await call.service.attach(call.experiment_id, asked.runner))


@routes.add(
    "GET",
    "/v1/experiments/{experiment_id}/searcher/best_searcher_validation_metric",
    access=Access.RUN,
    answer=BestMetric,
)
async def best_metric(call: Call) -> Handled:
    """Get the best searcher metric so far."""
    check_experiment(call, call.experiment_id)
    experiment = await call.store.get_experiment(call.experiment_id)
    return wire.best_metric(experiment)


@routes.add(
    "GET",
    "/v1/experiments/{experiment_id}/watch",
    answer=dict[str, Any],
    streams=True,
    parameters=["follow"],
)
async def watch(call: Call) -> Handled:
    """Stream summaries of the search's progress: one at once, then after changes, until it is over."""
    experiment = await call.store.get_experiment(call.experiment_id)
    summaries = call.service.watch(experiment.id, call.query.boolean("follow"))
    return Stream([summary] async for summary in summaries)
