"""Checkpoints: register, read, list, describe, delete."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from determined.domain.ids import ExperimentId, TrialId
from determined.domain.records import Experiment
from determined.domain.states import CheckpointState
from determined.errors import PermissionDenied
from determined.master.api.access import check_experiment, check_owner, readable_checkpoint, readable_trial
from determined.master.api.call import Call, Handled
from determined.master.api.paging import (
    PARAMETERS,
    has_direction,
    is_descending,
    order_of,
    page_in_memory,
    page_of,
    pagination,
)
from determined.master.api.routing import Access, Routes
from determined.master.service.ports import RunKey
from determined.storage.orders import CHECKPOINT_KEYS
from determined.storage.protocol import CheckpointView, Listing, Order, Page, SetCheckpointMetadata
from determined.wire import checkpoints as wire
from determined.wire.values import protect, restore

routes = Routes()


@routes.add("POST", "/v1/checkpoints", access=Access.RUN, request=wire.NewCheckpoint)
async def report_checkpoint(call: Call) -> Handled:
    """Register a checkpoint whose files are complete."""
    new = await call.request(wire.NewCheckpoint)
    new.check()
    run = await _reporting(call, new)
    await call.service.report_checkpoint(run, new.uuid, new.task_id, new.resources, restore(new.metadata))


async def _reporting(call: Call, new: wire.NewCheckpoint) -> RunKey:
    run = call.asking.run
    if run is not None and new.allocation_id in ("", run.allocation_id):
        return run
    if not call.asking.is_user:
        raise PermissionDenied(f"the token of this run does not reach allocation {new.allocation_id[:80]!a}")
    live = call.service.live_run(new.allocation_id)
    if live is None:
        raise wire.no_live_run(new)
    check_owner(call, await call.store.get_experiment(live.experiment_id), "report for its trials")
    return live


@routes.add("GET", "/v1/checkpoints/{uuid}", access=Access.RUN, answer=wire.CheckpointAnswer)
async def get_checkpoint(call: Call) -> Handled:
    """Get a checkpoint."""
    view = await readable_checkpoint(call, call.path("uuid"))
    return wire.CheckpointAnswer(checkpoint=await _one(call, view))


@routes.add("POST", "/v1/checkpoints/{uuid}/metadata", request=wire.NewMetadata, answer=wire.CheckpointAnswer)
async def set_metadata(call: Call) -> Handled:
    """Replace the metadata of a checkpoint."""
    asked = await call.request(wire.NewMetadata)
    view = await call.store.get_checkpoint(call.path("uuid"))
    text = msgspec.json.encode(protect(asked.checkpoint.metadata)).decode()
    await call.store.write([SetCheckpointMetadata(view.checkpoint.uuid, text)])
    return wire.CheckpointAnswer(checkpoint=await _one(call, await call.store.get_checkpoint(view.checkpoint.uuid)))


@routes.add("DELETE", "/v1/checkpoints", request=wire.DeleteCheckpoints)
async def delete_checkpoints(call: Call) -> Handled:
    """Delete the files of checkpoints."""
    uuids = (await call.request(wire.DeleteCheckpoints)).checkpoint_uuids
    for uuid in uuids:
        view = await call.store.get_checkpoint(uuid)
        check_owner(call, await call.store.get_experiment(view.checkpoint.experiment_id), "delete its checkpoints")
    await call.service.delete_checkpoints(uuids)


@routes.add(
    "GET",
    "/v1/experiments/{experiment_id}/checkpoints",
    access=Access.RUN,
    answer=wire.CheckpointsAnswer,
    parameters=[*PARAMETERS, "states", "sortByAttr", "sortByMetric"],
)
async def list_experiment_checkpoints(call: Call) -> Handled:
    """List the checkpoints of an experiment."""
    check_experiment(call, call.experiment_id)
    experiment = await call.store.get_experiment(call.experiment_id)
    return await _list(call, experiment, None, "TRIAL_ID")


@routes.add(
    "GET",
    "/v1/trials/{trial_id}/checkpoints",
    access=Access.RUN,
    answer=wire.CheckpointsAnswer,
    parameters=[*PARAMETERS, "states", "sortByAttr", "sortByMetric"],
)
async def list_trial_checkpoints(call: Call) -> Handled:
    """List the checkpoints of a trial."""
    trial = await readable_trial(call, call.trial_id)
    experiment = await call.store.get_experiment(trial.experiment_id)
    return await _list(call, experiment, trial.id, "BATCH_NUMBER")


async def _list(call: Call, experiment: Experiment, trial_id: TrialId | None, default: str) -> wire.CheckpointsAnswer:
    query = call.query
    states = query.members("states", "STATE_", CheckpointState)
    of: tuple[ExperimentId | None, TrialId | None] = (experiment.id, None) if trial_id is None else (None, trial_id)
    metric, page = query.text("sortByMetric"), page_of(query)
    if metric and metric != experiment.metric:
        every = await call.store.list_checkpoints(*of, states, Order(default), Page())
        _, listing = page_in_memory(_by_metric(every.rows, metric, is_descending(query)), page)
    else:
        order = _order(call, experiment, default, by_metric=bool(metric))
        listing = await call.store.list_checkpoints(*of, states, order, page)
    return _answer(call, listing, experiment)


def _order(call: Call, experiment: Experiment, default: str, *, by_metric: bool) -> Order:
    order = order_of(call.query, "checkpoints", CHECKPOINT_KEYS, default)
    if by_metric:
        order = Order("SEARCHER_METRIC", order.descending)
    elif order.key == "SEARCHER_METRIC" and not has_direction(call.query):
        # The best come first unless the request says which way.
        order = Order("SEARCHER_METRIC", not experiment.smaller_is_better)
    return order


def _by_metric(rows: Sequence[CheckpointView], name: str, descending: bool) -> list[CheckpointView]:
    """Checkpoints by a metric of their validation; those without it last."""

    def value(view: CheckpointView) -> float | None:
        found: Any = None if view.validation is None else msgspec.json.decode(view.validation.metrics).get(name)
        usable = isinstance(found, (int, float)) and not isinstance(found, bool) and math.isfinite(found)
        return float(found) if usable else None

    valued = [(v, row) for row in rows if (v := value(row)) is not None]
    valued.sort(key=lambda pair: pair[0], reverse=descending)
    return [row for _, row in valued] + [row for row in rows if value(row) is None]


def _answer(call: Call, listing: Listing, experiment: Experiment) -> wire.CheckpointsAnswer:
    shown = [_shown(view, experiment) for view in listing.rows]
    return wire.CheckpointsAnswer(checkpoints=shown, pagination=pagination(call.query, listing))


async def _one(call: Call, view: CheckpointView) -> wire.CheckpointJson:
    return _shown(view, await call.store.get_experiment(view.checkpoint.experiment_id))


def _shown(view: CheckpointView, experiment: Experiment) -> wire.CheckpointJson:
    return wire.checkpoint_json(view.checkpoint, experiment, view.hparams, view.training, view.validation)
