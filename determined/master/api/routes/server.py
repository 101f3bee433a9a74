"""The master itself, its slots, and the one pool, workspace and project there is."""

from __future__ import annotations

from typing import Any

from determined.domain.states import ExperimentState
from determined.errors import NotFound
from determined.master.api.call import Call, Handled
from determined.master.api.paging import page_in_memory, page_of, pagination
from determined.master.api.routing import Access, Routes
from determined.master.api.sending import Stream, Whole
from determined.master.service.ports import MachineView
from determined.storage.protocol import ExperimentFilter, Order, Page
from determined.wire import server as wire
from determined.wire.experiments import PROJECT_ID
from determined.wire.times import to_text

routes = Routes()


@routes.add("GET", "/", access=Access.PUBLIC, answer=dict[str, str])
async def home(call: Call) -> Handled:
    """Say what this is and where to go on; browsers go on to the web UI."""
    if call.accepts(b"text/html"):
        return Whole(b"", headers=((b"location", b"/experiments"),), status=303)
    return {
        "name": "determined-search",
        "version": call.api.identity.version,
        "docs": "/openapi.json",
        "help": "det --help",
    }


@routes.add("GET", "/health", access=Access.PUBLIC, answer=wire.Health)
async def health(call: Call) -> Handled:
    """Say that the master serves."""
    return wire.Health()


@routes.add("GET", "/info", access=Access.PUBLIC, answer=wire.Info)
async def info(call: Call) -> Handled:
    """Say who the master is."""
    me = call.api.identity
    return wire.Info(
        version=me.protocol_version,
        master_id=me.master_id,
        cluster_id=me.cluster_id,
        cluster_name=me.cluster_name,
        product_version=me.version,
    )


@routes.add("GET", "/v1/master", access=Access.PUBLIC, answer=wire.Master)
async def get_master(call: Call) -> Handled:
    """Say who the master is."""
    me = call.api.identity
    return wire.Master(
        version=me.protocol_version,
        master_id=me.master_id,
        cluster_id=me.cluster_id,
        cluster_name=me.cluster_name,
        product_version=me.version,
    )


@routes.add("GET", "/v1/master/telemetry", access=Access.PUBLIC, answer=wire.Telemetry)
async def telemetry(call: Call) -> Handled:
    """Say that nothing is ever sent anywhere."""
    return wire.Telemetry()


@routes.add("GET", "/v1/master/config", answer=wire.MasterConfig)
async def master_config(call: Call) -> Handled:
    """Get the master's configuration without secrets."""
    return wire.MasterConfig(config=_config(call))


@routes.add("GET", "/config", answer=dict[str, Any])
async def master_config_legacy(call: Call) -> Handled:
    """Get the master's configuration without secrets."""
    return _config(call)


def _config(call: Call) -> dict[str, Any]:
    manager = {"type": "agent", "scheduler": {"type": "priority"}, "default_compute_resource_pool": wire.POOL}
    return {"checkpoint_storage": {}, "resource_manager": manager, **call.api.identity.config}


@routes.add("GET", "/v1/master/logs", answer=wire.MasterLog, streams=True, parameters=["offset", "limit", "follow"])
async def master_logs(call: Call) -> Handled:
    """Stream the master's own log."""
    query = call.query
    limit = max(0, query.integer("limit"))
    return Stream(call.api.ring.read(query.integer("offset"), limit, query.boolean("follow")))


@routes.add("GET", "/v1/agents", answer=wire.AgentsAnswer, parameters=["limit", "offset"])
async def list_agents(call: Call) -> Handled:
    """List machines and their slots; a busy slot has a container."""
    rows, listing = page_in_memory([_agent(call, m) for m in await call.service.machines()], page_of(call.query))
    return wire.AgentsAnswer(agents=rows, pagination=pagination(call.query, listing))


def _agent(call: Call, machine: MachineView) -> wire.Agent:
    me = call.api.identity
    slots: dict[str, wire.SlotJson] = {}
    containers: dict[str, wire.Container] = {}
    for view in machine.slots:
        container = None
        if view.allocation_id is not None:
            container = wire.Container(id=view.allocation_id, parent=machine.id)
            containers[view.allocation_id] = container
        device = wire.Device(id=view.id, brand=view.name, uuid=view.uuid, type=f"TYPE_{view.kind}")
        slots[str(view.id)] = wire.SlotJson(id=str(view.id), device=device, container=container)
    return wire.Agent(
        id=machine.id,
        slots=slots,
        containers=containers,
        addresses=machine.addresses,
        version=me.protocol_version,
        registered_time=to_text(me.started_at),
    )


@routes.add("GET", "/v1/resource-pools", answer=wire.ResourcePoolsAnswer, parameters=["limit", "offset"])
async def list_pools(call: Call) -> Handled:
    """List the one pool of slots."""
    machines = await call.service.machines()
    slots = [view for machine in machines for view in machine.slots]
    pool = wire.ResourcePool(
        num_agents=len(machines),
        slots_available=len(slots),
        slots_used=sum(view.allocation_id is not None for view in slots),
        slot_type=f"TYPE_{slots[0].kind}" if slots else "TYPE_UNSPECIFIED",
        slots_per_agent=max((len(machine.slots) for machine in machines), default=0),
    )
    rows, listing = page_in_memory([pool], page_of(call.query))
    return wire.ResourcePoolsAnswer(resource_pools=rows, pagination=pagination(call.query, listing))


@routes.add("GET", "/v1/workspaces", answer=wire.WorkspacesAnswer, parameters=["limit", "offset"])
async def list_workspaces(call: Call) -> Handled:
    """List the one workspace."""
    workspace = wire.Workspace(num_experiments=await _count(call))
    rows, listing = page_in_memory([workspace], page_of(call.query))
    return wire.WorkspacesAnswer(workspaces=rows, pagination=pagination(call.query, listing))


@routes.add("GET", "/v1/projects/{project_id}", answer=wire.ProjectAnswer)
async def get_project(call: Call) -> Handled:
    """Get the one project."""
    number = call.path_id("project_id")
    if number != PROJECT_ID:
        raise NotFound(f"project {number} not found (there is one: {PROJECT_ID})")
    active = await _count(call, (ExperimentState.ACTIVE,))
    return wire.ProjectAnswer(project=wire.Project(num_experiments=await _count(call), num_active_experiments=active))


async def _count(call: Call, states: tuple[ExperimentState, ...] = ()) -> int:
    return (await call.store.list_experiments(ExperimentFilter(states=states), Order(), Page(limit=0))).total
