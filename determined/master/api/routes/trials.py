"""Trials: read, list, kill; what they reported."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

from determined.domain.ids import TrialId
from determined.domain.records import Metrics, Trial
from determined.domain.states import TrialState
from determined.errors import InvalidInput
from determined.master.api.access import check_experiment, readable_trial
from determined.master.api.call import Call, Handled
from determined.master.api.paging import (
    DEFAULT_LIMIT,
    PARAMETERS,
    is_descending,
    order_of,
    page_in_memory,
    page_of,
    pagination,
)
from determined.master.api.routing import Access, Routes
from determined.master.api.sending import Stream
from determined.storage.orders import TRIAL_KEYS
from determined.storage.protocol import Order, Page
from determined.wire import trials as wire

routes = Routes()
REPORTS_AT_ONCE: Final = 1000


@routes.add("GET", "/v1/trials/{trial_id}", access=Access.RUN, answer=wire.TrialAnswer)
async def get_trial(call: Call) -> Handled:
    """Get a trial."""
    trial = await readable_trial(call, call.trial_id)
    return wire.TrialAnswer(trial=(await _shown(call, [trial]))[0])


@routes.add("GET", "/v1/trials/{trial_id}/story", access=Access.RUN, answer=wire.StoryAnswer)
async def tell_story(call: Call) -> Handled:
    """Tell what was asked of a trial, why, and what it did."""
    trial = await readable_trial(call, call.trial_id)
    return wire.StoryAnswer(sentences=await call.service.story(trial))


@routes.add(
    "GET",
    "/v1/experiments/{experiment_id}/trials",
    access=Access.RUN,
    answer=wire.TrialsAnswer,
    parameters=[*PARAMETERS, "states"],
)
async def list_trials(call: Call) -> Handled:
    """List the trials of an experiment."""
    check_experiment(call, call.experiment_id)
    experiment = await call.store.get_experiment(call.experiment_id)
    states = call.query.members("states", "STATE_", TrialState)
    order = order_of(call.query, "trials", TRIAL_KEYS)
    listing = await call.store.list_trials(experiment.id, states, order, page_of(call.query, DEFAULT_LIMIT))
    return wire.TrialsAnswer(
        trials=await _shown(call, listing.rows), pagination=pagination(call.query, listing, DEFAULT_LIMIT)
    )


async def _shown(call: Call, trials: Sequence[Trial]) -> list[wire.TrialJson]:
    """Trials of one experiment as answers show them, with four reads however many there are."""
    if not trials:
        return []
    experiment = await call.store.get_experiment(trials[0].experiment_id)
    wanted = {i for t in trials for i in (t.best_validation, t.latest_validation) if i is not None}
    metrics = await call.store.get_metrics(sorted(wanted)) if wanted else {}
    best = await call.store.best_checkpoints([t.id for t in trials])
    max_restarts, now = wire.max_restarts_of(experiment), time.time()
    return [
        wire.trial_json(
            t,
            max_restarts=max_restarts,
            now=now,
            best=None if t.best_validation is None else metrics.get(t.best_validation),
            latest=None if t.latest_validation is None else metrics.get(t.latest_validation),
            checkpoint=best[t.id].checkpoint if t.id in best else None,
        )
        for t in trials
    ]


@routes.add("POST", "/v1/trials/{trial_id}/kill")
async def kill_trial(call: Call) -> Handled:
    """Kill a trial; the search goes on."""
    await call.service.kill_trial(call.trial_id)


@routes.add("POST", "/v1/trials/{trial_id}/cancel")
async def cancel_trial(call: Call) -> Handled:
    """Let a trial save and end; the search goes on."""
    await call.service.cancel_trial(call.trial_id)


@routes.add(
    "GET",
    "/v1/trials/{trial_id}/workloads",
    access=Access.RUN,
    answer=wire.WorkloadsAnswer,
    parameters=[*PARAMETERS[:2], "orderBy", "sortKey", "filter", "metricType", "includeBatchMetrics"],
)
async def list_workloads(call: Call) -> Handled:
    """List what a trial reported: metrics and checkpoints in the order of training."""
    trial = await readable_trial(call, call.trial_id)
    reports, with_checkpoints = await _wanted_reports(call, trial.id)
    checkpoints = []
    if with_checkpoints:
        listing = await call.store.list_checkpoints(None, trial.id, (), Order("BATCH_NUMBER"), Page())
        checkpoints = [view.checkpoint for view in listing.rows]
    rows = wire.workloads(
        reports,
        checkpoints,
        with_batches=call.query.boolean("includeBatchMetrics"),
        sort_metric=call.query.text("sortKey"),
    )
    if is_descending(call.query):
        rows.reverse()
    part, found = page_in_memory(rows, page_of(call.query, DEFAULT_LIMIT))
    return wire.WorkloadsAnswer(workloads=part, pagination=pagination(call.query, found, DEFAULT_LIMIT))


async def _wanted_reports(call: Call, trial_id: TrialId) -> tuple[list[Metrics], bool]:
    """The reports that the request wants, and whether it wants checkpoints too."""
    wanted = call.query.text("filter").upper().removeprefix("FILTER_OPTION_")
    kind = call.query.text("metricType").upper().removeprefix("METRIC_TYPE_")
    if wanted not in ("", "UNSPECIFIED", "CHECKPOINT", "VALIDATION", "CHECKPOINT_OR_VALIDATION"):
        raise InvalidInput(f"filter: there is no FILTER_OPTION_{wanted[:40]}")
    if kind not in ("", "UNSPECIFIED", "TRAINING", "VALIDATION"):
        raise InvalidInput(f"metricType: there is no METRIC_TYPE_{kind[:40]}")
    everything = [] if wanted == "CHECKPOINT" else await call.store.list_trial_metrics(trial_id)
    groups = {"TRAINING", "VALIDATION"} if kind in ("", "UNSPECIFIED") else {kind}
    if "VALIDATION" in wanted:
        groups &= {"VALIDATION"}
    return [m for m in everything if m.group.upper() in groups], wanted != "VALIDATION"


@routes.add(
    "GET",
    "/v1/trials/metrics/training_metrics",
    answer=wire.MetricsBatch,
    streams=True,
    parameters=["trialIds"],
)
async def stream_training_metrics(call: Call) -> Handled:
    """Stream the training reports of trials."""
    return await _stream(call, "training")


@routes.add(
    "GET",
    "/v1/trials/metrics/validation_metrics",
    answer=wire.MetricsBatch,
    streams=True,
    parameters=["trialIds"],
)
async def stream_validation_metrics(call: Call) -> Handled:
    """Stream the validation reports of trials."""
    return await _stream(call, "validation")


async def _stream(call: Call, group: str) -> Stream:
    trial_ids = sorted({TrialId(i) for i in call.query.integers("trialIds", 1)})
    if not trial_ids:
        raise InvalidInput("trialIds is missing; name at least one trial")
    for trial_id in trial_ids:
        await call.store.get_trial(trial_id)
    return Stream(_batches(call, trial_ids, group))


async def _batches(call: Call, trial_ids: Sequence[TrialId], group: str) -> AsyncIterator[list[wire.MetricsBatch]]:
    for trial_id in trial_ids:
        after = 0
        while found := await call.store.list_metrics([trial_id], [group], after, REPORTS_AT_ONCE):
            after = found[-1].id
            ordered = sorted(found, key=lambda m: (m.run_id, m.steps))
            yield [wire.MetricsBatch(metrics=[wire.metrics_report(m) for m in ordered])]
