"""What people do to experiments: verbs, edits, deletion, one by one or many at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from determined.domain.facts import Verb
from determined.domain.ids import ExperimentId
from determined.domain.states import ExperimentState
from determined.errors import DeterminedError, InvalidInput, NotFound
from determined.master.api.access import check_owner
from determined.master.api.call import Call, Handled
from determined.master.api.errors import fault_of
from determined.master.api.query import member
from determined.master.api.routes.experiments import experiment_json
from determined.master.api.routing import Handler, Routes
from determined.storage.protocol import ExperimentFilter, Order, Page
from determined.wire import experiments as wire

routes = Routes()
Change = Callable[[Call, ExperimentId], Awaitable[None]]
MAX_BULK: Final = 10_000


def _command(verb: Verb) -> Change:
    async def change(call: Call, experiment_id: ExperimentId) -> None:
        if verb in (Verb.PAUSE, Verb.ACTIVATE) and (await call.store.get_experiment(experiment_id)).archived:
            raise NotFound(f"experiment {experiment_id} is archived and cannot be {verb.value}d; unarchive it first")
        await call.service.command(experiment_id, verb)

    return change


def _archive(archived: bool) -> Change:
    async def change(call: Call, experiment_id: ExperimentId) -> None:
        await call.service.archive(experiment_id, archived)

    return change


async def _delete(call: Call, experiment_id: ExperimentId) -> None:
    check_owner(call, await call.store.get_experiment(experiment_id), "delete it")
    await call.service.delete_experiment(experiment_id)


CHANGES: Final[Mapping[str, Change]] = {
    **{verb.value: _command(verb) for verb in Verb},
    "archive": _archive(True),
    "unarchive": _archive(False),
}


def _one(name: str, change: Change) -> Handler:
    async def handler(call: Call) -> Handled:
        await change(call, call.experiment_id)

    handler.__doc__ = f"{name.capitalize()} an experiment."
    return handler


def _many(name: str, change: Change) -> Handler:
    async def handler(call: Call) -> Handled:
        asked = await call.request(wire.Bulk)
        return wire.BulkResults(results=[await _result(call, i, change) for i in await _meant(call, asked)])

    handler.__doc__ = f"{name.capitalize()} several experiments; each has its own result."
    return handler


for _name, _change in CHANGES.items():
    routes.add("POST", f"/v1/experiments/{_name}", request=wire.Bulk, answer=wire.BulkResults)(_many(_name, _change))
    routes.add("POST", f"/v1/experiments/{{experiment_id}}/{_name}")(_one(_name, _change))
routes.add("DELETE", "/v1/experiments/delete", request=wire.Bulk, answer=wire.BulkResults)(_many("delete", _delete))
routes.add("DELETE", "/v1/experiments/{experiment_id}")(_one("delete", _delete))


@routes.add("PATCH", "/v1/experiments/{experiment_id}", request=wire.PatchExperiment, answer=wire.PatchedExperiment)
async def patch_experiment(call: Call) -> Handled:
    """Change name, description, labels, notes, limits, or which checkpoints are kept."""
    asked = await call.request(wire.PatchExperiment)
    changes = asked.changes()
    if isinstance(asked.name, str) and not asked.name.strip():
        raise InvalidInput("the name of an experiment must not be blank")
    if changes:
        experiment = await call.service.patch_experiment(call.experiment_id, changes)
    else:
        experiment = await call.store.get_experiment(call.experiment_id)
    return wire.PatchedExperiment(experiment=await experiment_json(call, experiment))


async def _result(call: Call, experiment_id: int, change: Change) -> wire.BulkResult:
    try:
        await change(call, ExperimentId(experiment_id))
    except DeterminedError as error:
        return wire.BulkResult(id=experiment_id, error=fault_of(error).message)
    return wire.BulkResult(id=experiment_id)


async def _meant(call: Call, asked: wire.Bulk) -> list[int]:
    """The experiments that a request means, each once."""
    filters = asked.filters
    if filters is None:
        found = list(dict.fromkeys(asked.experiment_ids))
    else:
        where = ExperimentFilter(
            name=filters.name,
            description=filters.description,
            labels=tuple(filters.labels),
            archived=filters.archived,
            states=tuple(member("states", text, "STATE_", ExperimentState) for text in filters.states),
            user_ids=tuple(filters.user_ids),
            project_id=filters.project_id or None,
            not_ids=tuple(filters.excluded_experiment_ids),
        )
        listing = await call.store.list_experiments(where, Order(), Page(limit=MAX_BULK + 1))
        found = [e.id for e in listing.rows]
    if len(found) > MAX_BULK:
        raise InvalidInput(f"the request means more than {MAX_BULK} experiments; use several requests")
    return found
