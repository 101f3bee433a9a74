"""The master itself on the wire: who it is, and the machines, pools, workspaces and projects that clients ask for.

There is one pool, one workspace and one project; clients of a larger installation expect to be told so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from determined.wire.answers import Answer, Pagination
from determined.wire.experiments import PROJECT_ID, PROJECT_NAME, WORKSPACE_ID, WORKSPACE_NAME

POOL: Final = "default"


class Telemetry(Answer, frozen=True, kw_only=True):
    """Nothing is ever sent anywhere."""

    enabled: bool = False


class Info(msgspec.Struct, frozen=True, kw_only=True):
    """What every client asks first; the one answer in snake_case."""

    version: str
    master_id: str
    cluster_id: str
    cluster_name: str = ""
    telemetry: Telemetry = Telemetry()
    product: str = "determined-search"
    product_version: str = ""


class Master(Answer, frozen=True, kw_only=True):
    """The same for newer clients."""

    version: str
    master_id: str
    cluster_id: str
    cluster_name: str = ""
    telemetry_enabled: bool = False
    rbac_enabled: bool = False
    strict_job_queue_control: bool = False
    user_management_enabled: bool = True
    external_login_uri: str = ""
    external_logout_uri: str = ""
    branding: str = ""
    product: str = "PRODUCT_UNSPECIFIED"
    feature_switches: Sequence[str] = ()
    sso_providers: Sequence[Any] = ()
    product_version: str = ""


class MasterConfig(Answer, frozen=True, kw_only=True):
    """The master's configuration without secrets."""

    config: Mapping[str, Any]


class Container(Answer, frozen=True, kw_only=True):
    """The run that holds a slot."""

    id: str
    state: str = "STATE_RUNNING"
    parent: str = ""
    devices: Sequence[Any] = ()


class Device(Answer, frozen=True, kw_only=True):
    """What a slot stands for."""

    id: int
    brand: str
    uuid: str
    type: str


class SlotJson(Answer, frozen=True, kw_only=True):
    """A slot; ``container`` null when it is free."""

    id: str
    device: Device
    enabled: bool = True
    draining: bool = False
    container: Container | None = None


class Agent(Answer, frozen=True, kw_only=True):
    """A machine."""

    id: str
    slots: Mapping[str, SlotJson]
    containers: Mapping[str, Container]
    addresses: Sequence[str] = ("127.0.0.1",)
    enabled: bool = True
    draining: bool = False
    version: str
    label: str = ""
    resource_pools: Sequence[str] = (POOL,)
    registered_time: str


class AgentsAnswer(Answer, frozen=True, kw_only=True):
    """A page of machines."""

    agents: Sequence[Agent]
    pagination: Pagination


class ResourcePool(Answer, frozen=True, kw_only=True):
    """A set of machines."""

    name: str = POOL
    description: str = "every slot of this master"
    type: str = "RESOURCE_POOL_TYPE_STATIC"
    num_agents: int = 1
    slots_available: int
    slots_used: int
    slot_type: str
    aux_container_capacity: int = 0
    aux_containers_running: int = 0
    default_compute_pool: bool = True
    default_aux_pool: bool = True
    preemptible: bool = False
    min_agents: int = 1
    max_agents: int = 1
    slots_per_agent: int
    aux_container_capacity_per_agent: int = 0
    scheduler_type: str = "SCHEDULER_TYPE_PRIORITY"
    scheduler_fitting_policy: str = "FITTING_POLICY_BEST"
    location: str = "local"
    image_id: str = ""
    instance_type: str = ""
    master_url: str = ""
    master_cert_name: str = ""
    startup_script: str = ""
    container_startup_script: str = ""
    agent_docker_network: str = ""
    agent_docker_runtime: str = ""
    agent_docker_image: str = ""
    agent_fluent_image: str = ""
    max_idle_agent_period: float = 0.0
    max_agent_starting_period: float = 0.0
    details: Mapping[str, Any] = {}
    accelerator: str = ""


class ResourcePoolsAnswer(Answer, frozen=True, kw_only=True):
    """A page of pools."""

    resource_pools: Sequence[ResourcePool]
    pagination: Pagination


class Workspace(Answer, frozen=True, kw_only=True):
    """A workspace."""

    id: int = WORKSPACE_ID
    name: str = WORKSPACE_NAME
    archived: bool = False
    username: str = "admin"
    immutable: bool = True
    num_projects: int = 1
    pinned: bool = False
    user_id: int = 1
    num_experiments: int
    state: str = "WORKSPACE_STATE_UNSPECIFIED"
    error_message: str = ""


class WorkspacesAnswer(Answer, frozen=True, kw_only=True):
    """A page of workspaces."""

    workspaces: Sequence[Workspace]
    pagination: Pagination


class Project(Answer, frozen=True, kw_only=True):
    """A project."""

    id: int = PROJECT_ID
    name: str = PROJECT_NAME
    workspace_id: int = WORKSPACE_ID
    description: str = ""
    last_experiment_started_at: str | None = None
    notes: Sequence[Any] = ()
    num_experiments: int
    num_active_experiments: int
    archived: bool = False
    username: str = "admin"
    immutable: bool = True
    user_id: int = 1
    workspace_name: str = WORKSPACE_NAME
    state: str = "WORKSPACE_STATE_UNSPECIFIED"
    error_message: str = ""


class ProjectAnswer(Answer, frozen=True, kw_only=True):
    """One project."""

    project: Project


class MasterLogEntry(Answer, frozen=True, kw_only=True):
    """A line of the master's own log."""

    id: int
    message: str
    timestamp: str
    level: str


class MasterLog(Answer, frozen=True, kw_only=True):
    """A line of the master's own log, in a stream."""

    log_entry: MasterLogEntry


class Health(Answer, frozen=True, kw_only=True):
    """The master serves."""

    status: str = "ok"
