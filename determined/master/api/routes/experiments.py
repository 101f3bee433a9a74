"""Experiments: create, read, list."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec

from determined.domain.config.document import read_document
from determined.domain.config.masking import unmasked_text
from determined.domain.config.storage import MASK
from determined.domain.ids import ExperimentId
from determined.domain.records import Experiment
from determined.domain.states import ExperimentState
from determined.errors import InvalidConfig, NotFound
from determined.master.api.access import check_experiment
from determined.master.api.bodies import MAX_EXPERIMENT_BODY, MIB
from determined.master.api.call import Call, Handled
from determined.master.api.paging import DEFAULT_LIMIT, PARAMETERS, order_of, page_of, pagination
from determined.master.api.query import Query
from determined.master.api.routing import Access, Routes
from determined.master.service.ports import ContextFile, Submission
from determined.storage.orders import EXPERIMENT_KEYS
from determined.storage.protocol import ExperimentFilter
from determined.wire import experiments as wire
from determined.wire.requests import parse
from determined.wire.trials import ModelDefinition

routes = Routes()
_FILTERS: Final = ("name", "description", "labels", "archived", "states", "users", "userIds", "projectId")
_encode = msgspec.json.Encoder().encode


@routes.add(
    "POST",
    "/v1/experiments",
    request=wire.NewExperiment,
    answer=wire.CreatedExperiment,
    limit=MAX_EXPERIMENT_BODY,
)
async def create_experiment(call: Call) -> Handled:
    """Create an experiment, or check whether it could be created."""
    body = await call.body()
    # Large model definitions take a while to decode, and others want their answers meanwhile.
    asked = await asyncio.to_thread(_submission, body) if len(body) > MIB else _submission(body)
    if asked.parent_id and MASK in asked.config:
        parent = await call.store.get_experiment(ExperimentId(asked.parent_id))
        asked = replace(asked, config=await asyncio.to_thread(_unmasked, asked.config, parent))
    made = await call.service.submit(call.user, asked)
    shown = wire.no_experiment(asked.config)
    if made.experiment is not None:
        shown = await experiment_json(call, made.experiment)
    return wire.CreatedExperiment(
        experiment=shown,
        config=msgspec.Raw(_encode(made.config)),
        warnings=[wire.SLOTS_EXCEEDED] if made.over_capacity else [],
        config_warnings=made.warnings,
    )


def _unmasked(config: str, parent: Experiment) -> str:
    """A configuration that the web UI has shown and somebody has edited, with the secrets of where it came from."""
    origins = [msgspec.json.decode(parent.config)]
    with contextlib.suppress(InvalidConfig):
        origins.insert(0, read_document(parent.original_config).data)
    return unmasked_text(config, *origins)


def _submission(body: bytes) -> Submission:
    asked = parse(body, wire.NewExperiment)
    asked.check_git()
    files = [ContextFile(f.path, wire.file_content(f), f.mode, f.mtime) for f in asked.model_definition]
    return Submission(
        config=asked.config,
        files=files,
        activate=asked.activate,
        validate_only=asked.validate_only,
        parent_id=asked.parent_id or None,
        project_id=asked.project_id or None,
        template=asked.template,
        client_key=asked.client_key,
    )


@routes.add(
    "GET",
    "/v1/experiments",
    answer=wire.ExperimentsAnswer,
    parameters=[*PARAMETERS, *_FILTERS],
)
async def list_experiments(call: Call) -> Handled:
    """List experiments."""
    query = call.query
    order = order_of(query, "experiments", EXPERIMENT_KEYS)
    listing = await call.store.list_experiments(_filter(query), order, page_of(query, DEFAULT_LIMIT))
    shown = [await experiment_json(call, e) for e in listing.rows]
    return wire.ExperimentsAnswer(experiments=shown, pagination=pagination(query, listing, DEFAULT_LIMIT))


@routes.add("GET", "/v1/experiments/{experiment_id}", access=Access.RUN, answer=wire.ExperimentAnswer)
async def get_experiment(call: Call) -> Handled:
    """Get an experiment."""
    check_experiment(call, call.experiment_id)
    experiment = await call.store.get_experiment(call.experiment_id)
    shown = await experiment_json(
        call,
        experiment,
        trial_ids=await call.store.trial_ids(experiment.id),
        parent_archived=await _is_archived(call, experiment.forked_from),
    )
    return wire.ExperimentAnswer(
        experiment=shown, job_summary=wire.job_summary(call.service.experiment_wire_state(experiment))
    )


@routes.add("GET", "/v1/experiments/{experiment_id}/model_def", access=Access.RUN, answer=ModelDefinition)
async def model_definition(call: Call) -> Handled:
    """Get the model definition as a gzipped tar."""
    check_experiment(call, call.experiment_id)
    return await packed_model_definition(call, call.experiment_id)


async def packed_model_definition(call: Call, experiment_id: ExperimentId) -> ModelDefinition:
    """The model definition of an experiment in base64."""
    data = await call.service.model_definition(experiment_id)
    packed = await asyncio.to_thread(base64.b64encode, data)
    return ModelDefinition(b64_tgz=packed.decode())


async def experiment_json(
    call: Call,
    experiment: Experiment,
    trial_ids: Sequence[int] | None = None,
    parent_archived: bool | None = None,
) -> wire.ExperimentJson:
    """An experiment as answers show it."""
    owner = await call.auth.users.find(experiment.owner_id)
    state = call.service.experiment_wire_state(experiment)
    return wire.experiment_json(experiment, state, owner, trial_ids=trial_ids, parent_archived=parent_archived)


async def _is_archived(call: Call, experiment_id: int | None) -> bool | None:
    if experiment_id is None:
        return None
    try:
        return (await call.store.get_experiment(ExperimentId(experiment_id))).archived
    except NotFound:
        return None


def _filter(query: Query) -> ExperimentFilter:
    above = [n + 1 for n in query.integers("experimentIdFilter.gt")] + [*query.integers("experimentIdFilter.gte")]
    below = [n - 1 for n in query.integers("experimentIdFilter.lt")] + [*query.integers("experimentIdFilter.lte")]
    return ExperimentFilter(
        name=query.text("name"),
        description=query.text("description"),
        labels=query.texts("labels"),
        archived=query.optional_boolean("archived"),
        states=query.members("states", "STATE_", ExperimentState),
        usernames=query.texts("users"),
        user_ids=query.integers("userIds"),
        project_id=query.optional_integer("projectId") or None,
        ids=query.integers("experimentIdFilter.incl") or None,
        not_ids=query.integers("experimentIdFilter.notIn"),
        min_id=max(above, default=None),
        max_id=min(below, default=None),
    )
