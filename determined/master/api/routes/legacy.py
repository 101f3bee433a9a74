"""Older paths outside of ``/api/v1`` that clients still use."""

from __future__ import annotations

from typing import Any

import msgspec

from determined.domain.ids import ExperimentId
from determined.domain.states import CheckpointState
from determined.engine.retention import Candidate, Policy, doomed
from determined.errors import FailedPrecondition
from determined.master.api.access import readable_checkpoint
from determined.master.api.archives import packed_checkpoint
from determined.master.api.call import Call, Handled
from determined.master.api.routing import Access, Routes
from determined.storage.protocol import CheckpointView, Order, Page
from determined.wire.times import to_text

routes = Routes()


@routes.add(
    "GET",
    "/experiments/{experiment_id}/preview_gc",
    answer=dict[str, Any],
    parameters=["save_experiment_best", "save_trial_best", "save_trial_latest"],
)
async def preview_gc(call: Call) -> Handled:
    """Show which checkpoints a policy would delete."""
    experiment = await call.store.get_experiment(ExperimentId(call.experiment_id))
    policy = Policy(
        call.query.integer("saveExperimentBest", 0, low=0),
        call.query.integer("saveTrialBest", 1, low=0),
        call.query.integer("saveTrialLatest", 1, low=0),
    )
    completed = (CheckpointState.COMPLETED,)
    views = (await call.store.list_checkpoints(experiment.id, None, completed, Order("UUID"), Page())).rows
    needed = await call.store.warm_starts([view.checkpoint.uuid for view in views])
    gone = set(doomed([_candidate(view) for view in views], policy, experiment.smaller_is_better, needed))
    return {
        "checkpoints": [_shown(view) for view in views if view.checkpoint.uuid in gone],
        "metric_name": experiment.metric,
    }


def _candidate(view: CheckpointView) -> Candidate:
    c = view.checkpoint
    metric = None if view.validation is None else view.validation.searcher_metric
    return Candidate(c.uuid, c.trial_id, c.steps, c.reported_at, metric)


def _shown(view: CheckpointView) -> dict[str, Any]:
    c, validation = view.checkpoint, view.validation
    metrics = {} if validation is None else msgspec.json.decode(validation.metrics)
    return {
        "UUID": c.uuid,
        "TrialID": c.trial_id,
        "StepsCompleted": c.steps,
        "State": c.state.value,
        "ReportTime": to_text(c.reported_at),
        "Resources": msgspec.json.decode(c.resources),
        "ValidationMetrics": metrics,
        "step": {} if validation is None else {"validation": {"metrics": {"validation_metrics": metrics}}},
    }


@routes.add("GET", "/checkpoints/{uuid}", access=Access.RUN, answer=None)
async def download_checkpoint(call: Call) -> Handled:
    """Download the files of a checkpoint: a gzipped tar, or a zip for browsers and who asks for one by ``Accept``."""
    view = await readable_checkpoint(call, call.path("uuid"))
    if view.checkpoint.state is not CheckpointState.COMPLETED:
        state = view.checkpoint.state.value
        raise FailedPrecondition(f"checkpoint {view.checkpoint.uuid} is {state}; only complete ones can be downloaded")
    experiment = await call.store.get_experiment(view.checkpoint.experiment_id)
    as_zip = call.accepts(b"application/zip") or (call.from_browser() and not call.accepts(b"application/gzip"))
    return await packed_checkpoint(experiment, view.checkpoint.uuid, as_zip=as_zip)
