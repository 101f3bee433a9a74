"""What the web UI reads: lists, whole tables and curves, and what a search decided."""

from __future__ import annotations

from typing import Final

import msgspec

from determined.domain.config.masking import masked, masked_text
from determined.domain.ids import TrialId
from determined.domain.records import Experiment
from determined.domain.states import ExperimentState
from determined.errors import InvalidInput, NotFound
from determined.master.api.call import Call, Handled
from determined.master.api.routing import Routes
from determined.master.api.sending import Whole, json_answer
from determined.master.ui import curves
from determined.master.ui.encodings import Body, Encoded
from determined.storage.protocol import ExperimentFilter, Order, Page
from determined.wire import ui as wire

routes = Routes()
DEFAULT_LIMIT: Final = 200
MAX_LIMIT: Final = 1_000
AT_LEAST: Final = b"det-at-least"
MAX_DIGITS: Final = 16
SORT_KEYS: Final = {
    "id": "ID",
    "name": "NAME",
    "state": "STATE",
    "progress": "PROGRESS",
    "best": "SEARCHER_METRIC_VAL",
    "trials": "NUM_TRIALS",
    "user": "USER",
    "startedAt": "START_TIME",
    "endedAt": "END_TIME",
}


@routes.add(
    "GET",
    "/v1/ui/experiments",
    answer=wire.UiExperiments,
    parameters=["limit", "offset", "before", "state", "q", "sort", "archived"],
)
async def list_experiments(call: Call) -> Handled:
    """List experiments with counts of their trials and the best metric so far, and count those of each state."""
    query = call.query
    names = [name for text in query.texts("state") for name in text.split(",") if name]
    where = ExperimentFilter(name=query.text("q"), archived=query.optional_boolean("archived"))
    before = query.optional_integer("before")
    chosen = ExperimentFilter(
        name=where.name,
        archived=where.archived,
        states=tuple(_state(name) for name in names),
        max_id=None if before is None else before - 1,
    )
    limit = _bounded(call, "limit", DEFAULT_LIMIT, 0, MAX_LIMIT)
    page = Page(query.integer("offset", low=0), limit)
    listing = await call.store.list_experiments(chosen, _order(query.text("sort", "-id")), page)
    return wire.UiExperiments(
        total=listing.total,
        counts={state.value: number for state, number in (await call.store.count_states(where)).items()},
        experiments=await call.service.feed.rows.of(listing.rows),
    )


@routes.add("GET", "/v1/ui/experiments/{experiment_id}", answer=wire.UiExperiment)
async def get_experiment(call: Call) -> Handled:
    """Get one experiment as the web UI shows it, with its configuration."""
    seq = await call.service.feed.version(call.experiment_id)
    experiment = await call.store.get_experiment(call.experiment_id)
    [row] = await call.service.feed.rows.of([experiment])
    shape = call.service.feed.rows.shape(experiment)
    answer = wire.with_details(
        row,
        seq=seq,
        unit=shape.unit,
        max_length=shape.longest,
        config=msgspec.Raw(msgspec.json.encode(masked(msgspec.json.decode(experiment.config)))),
        message=experiment.message,
        has_code=bool(experiment.context),
    )
    return json_answer(answer, ((b"etag", _etag(call, seq)),))


@routes.add("GET", "/v1/ui/experiments/{experiment_id}/config", answer=wire.UiConfig)
async def submitted_config(call: Call) -> Handled:
    """Get the configuration as it was submitted, with its secrets hidden; a fork may be made of it."""
    text = (await _experiment(call)).original_config
    return wire.UiConfig(config=masked_text(text) if text.strip() else "")


@routes.add("GET", "/v1/ui/experiments/{experiment_id}/trials", answer=wire.UiTrialTable, parameters=["folded"])
async def trial_table(call: Call) -> Handled:
    """Get all trials of an experiment, column by column; with an ETag, and at most a second behind."""
    experiment = await _experiment(call)
    fold = call.query.boolean("folded")
    return _answer(call, await call.service.feed.trials(experiment, fold, _at_least(call)))


@routes.add("GET", "/v1/ui/experiments/{experiment_id}/curves", answer=None, parameters=["limit", "points"])
async def learning_curves(call: Call) -> Handled:
    """Get the searched metric over the length for many trials, sampled, as binary columns."""
    experiment = await _experiment(call)
    limit = _bounded(call, "limit", 1_000, 2, curves.MAX_CURVES)
    points = _bounded(call, "points", 200, 4, curves.MAX_POINTS)
    encoded = await call.service.feed.curves(experiment, limit, points, _at_least(call))
    return _answer(call, encoded, b"application/octet-stream")


@routes.add(
    "GET",
    "/v1/ui/experiments/{experiment_id}/decisions",
    answer=wire.UiDecisions,
    parameters=["before", "after", "limit", "trial"],
)
async def decisions(call: Call) -> Handled:
    """Get what a search method heard and what it said to that, with its reasons, newest first."""
    query, experiment = call.query, await _experiment(call)
    limit = _bounded(call, "limit", 200, 1, MAX_LIMIT)
    trial = query.optional_integer("trial")
    if trial is not None and (await call.store.get_trial(TrialId(trial))).experiment_id != experiment.id:
        raise NotFound(f"trial {trial} is not one of experiment {experiment.id}")
    before, after = query.optional_integer("before"), query.integer("after", -1)
    return await call.service.feed.decisions(experiment, limit, before, after, trial)


@routes.add("GET", "/v1/ui/experiments/{experiment_id}/rungs", answer=wire.UiRungs, parameters=["event", "limit"])
async def rungs(call: Call) -> Handled:
    """Get the results at each length that trials were asked to train to, as they were when an event was answered."""
    experiment, event = await _experiment(call), call.query.optional_integer("event")
    limit = call.query.optional_integer("limit")
    if limit is not None and limit < 0:
        raise InvalidInput(f"limit must be at least 0, got {limit}; leave it out for all results")
    return _answer(call, await call.service.feed.rungs(experiment, event, limit, _at_least(call)))


@routes.add("GET", "/v1/ui/experiments/{experiment_id}/summary", answer=wire.UiSummary)
async def summary(call: Call) -> Handled:
    """Get where a search stands in its method's own words, and after which event; null where it says nothing."""
    event, said = await call.service.summary((await _experiment(call)).id)
    return wire.UiSummary(event=event, summary=said)


@routes.add("GET", "/v1/ui/trials/{trial_id}/metrics", answer=wire.UiTrialMetrics)
async def trial_metrics(call: Call) -> Handled:
    """Get everything that a trial reported, as columns; at most 2,000 reports of each group."""
    return _sent(call, await call.service.feed.metrics(call.trial_id), b"application/json", ())


async def _experiment(call: Call) -> Experiment:
    return await call.store.get_experiment(call.experiment_id)


def _state(name: str) -> ExperimentState:
    try:
        return ExperimentState(name.removeprefix("STATE_"))
    except ValueError:
        allowed = ", ".join(state.value for state in ExperimentState)
        raise InvalidInput(f"state: there is no {name[:40]!a} (allowed: {allowed})") from None


def _order(text: str) -> Order:
    key = SORT_KEYS.get(text.removeprefix("-"))
    if key is None:
        raise InvalidInput(f"sort: there is no {text[:40]!a} (allowed: {', '.join(SORT_KEYS)}; -KEY for descending)")
    return Order(key, text.startswith("-"))


def _bounded(call: Call, name: str, default: int, low: int, high: int) -> int:
    number = call.query.integer(name, default)
    if not low <= number <= high:
        raise InvalidInput(f"{name} must be between {low} and {high}, got {number}")
    return number


def _at_least(call: Call) -> int:
    """The version that whoever asks has heard of: an older answer will not do.

    A header and no parameter, as browsers keep answers by their address.
    """
    text = call.header(AT_LEAST)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < MAX_DIGITS else 0


def _etag(call: Call, seq: int) -> bytes:
    # The master's id is part of it: after a restart the numbers may start lower than they had come.
    return f'"{call.api.identity.master_id[:8]}-{seq}"'.encode()


def _answer(call: Call, encoded: Encoded, content_type: bytes = b"application/json") -> Whole:
    etag = _etag(call, encoded.seq)
    headers = ((b"etag", etag), (b"cache-control", b"private, no-cache"))
    if etag.decode() in call.header(b"if-none-match"):
        return Whole(b"", content_type, headers, 304)
    return _sent(call, encoded.body, content_type, headers)


def _sent(call: Call, body: Body, content_type: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> Whole:
    headers = (*headers, *body.headers, (b"vary", b"accept-encoding"))
    if body.packed is not None and "gzip" in call.header(b"accept-encoding"):
        return Whole(body.packed, content_type, (*headers, (b"content-encoding", b"gzip")))
    return Whole(body.plain, content_type, headers)
