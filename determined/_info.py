"""What a process on the cluster knows about the task it belongs to.

Read once per process, from the first of these that is there: the folder named in ``DET_INFO_DIR``, the ``DET_*``
variables, the folder ``/run/determined/info``. Plain classes rather than dataclasses, since every training script
pays for the import.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from determined.errors import CorruptState, FailedPrecondition

DEFAULT_INFO_DIR = "/run/determined/info"
TRIAL_TASK = "TRIAL"

_CLUSTER_VARIABLES = {
    "master_url": "DET_MASTER",
    "cluster_id": "DET_CLUSTER_ID",
    "agent_id": "DET_AGENT_ID",
    "slot_ids": "DET_SLOT_IDS",
    "task_id": "DET_TASK_ID",
    "allocation_id": "DET_ALLOCATION_ID",
    "session_token": "DET_SESSION_TOKEN",
    "task_type": "DET_TASK_TYPE",
}
_CLUSTER_OPTIONAL = {
    "master_cert_name": "DET_MASTER_CERT_NAME",
    "master_cert_file": "DET_MASTER_CERT_FILE",
    "latest_checkpoint": "DET_LATEST_CHECKPOINT",
}
_TRIAL_VARIABLES = {
    "trial_id": "DET_TRIAL_ID",
    "experiment_id": "DET_EXPERIMENT_ID",
    "trial_seed": "DET_TRIAL_SEED",
    "hparams": "DET_HPARAMS",
    "config": "DET_EXPERIMENT_CONFIG",
    "steps_completed": "DET_STEPS_COMPLETED",
    "trial_run_id": "DET_TRIAL_RUN_ID",
}
_TEXT_FIELDS = frozenset(_CLUSTER_VARIABLES) - {"slot_ids"}


class RendezvousInfo:
    """Who the members of an allocation are, in rank order, and which of them this one is."""

    def __init__(self, container_addrs: list[str], container_rank: int, container_slot_counts: list[int]) -> None:
        self.container_addrs = container_addrs
        self.container_rank = container_rank
        self.container_slot_counts = container_slot_counts


class ResourcesInfo:
    """Devices that belong to this member."""

    def __init__(self, gpu_uuids: list[str]) -> None:
        self.gpu_uuids = gpu_uuids


class TrialInfo:
    """The trial that this process trains.

    Attributes:
        trial_id: integer given by the master.
        experiment_id: the search that the trial belongs to.
        trial_seed: seed for whatever the training script draws.
        hparams: the point to train.
    """

    def __init__(
        self,
        trial_id: int,
        experiment_id: int,
        trial_seed: int,
        hparams: dict[str, Any],
        config: dict[str, Any],
        steps_completed: int,
        trial_run_id: int,
        debug: bool,
        inter_node_network_interface: str | None,
    ) -> None:
        self.trial_id = trial_id
        self.experiment_id = experiment_id
        self.trial_seed = trial_seed
        self.hparams = hparams
        self._config = config
        self._steps_completed = steps_completed
        self._trial_run_id = trial_run_id
        self._debug = debug
        self._inter_node_network_interface = inter_node_network_interface


class ClusterInfo:
    """The task that this process belongs to.

    Attributes:
        master_url: the master as this process reaches it.
        cluster_id: made when the master first started; never changes.
        agent_id: the host that runs this process.
        slot_ids: slots of that host that the process holds.
        task_id: one trial across its restarts.
        allocation_id: this run of it.
        session_token: lets this run report; secret.
        task_type: ``TRIAL`` for everything that the Core API can report from.
        master_cert_name: host name expected in the master's certificate, if not that of the URL.
        master_cert_file: path of the certificate to trust, ``noverify``, or None for the system's.
    """

    def __init__(
        self,
        master_url: str,
        cluster_id: str,
        agent_id: str,
        slot_ids: list[int],
        task_id: str,
        allocation_id: str,
        session_token: str,
        task_type: str,
        master_cert_name: str | None = None,
        master_cert_file: str | None = None,
        latest_checkpoint: str | None = None,
        trial_info: TrialInfo | None = None,
        rendezvous_info: RendezvousInfo | None = None,
        resources_info: ResourcesInfo | None = None,
    ) -> None:
        self.master_url = master_url
        self.cluster_id = cluster_id
        self.agent_id = agent_id
        self.slot_ids = slot_ids
        self.task_id = task_id
        self.allocation_id = allocation_id
        self.session_token = session_token
        self.task_type = task_type
        self.master_cert_name = master_cert_name
        self.master_cert_file = master_cert_file
        self._latest_checkpoint = latest_checkpoint
        self._trial_info = trial_info
        self._rendezvous_info = rendezvous_info
        self._resources_info = resources_info

    @property
    def latest_checkpoint(self) -> str | None:
        """The checkpoint to go on from; None for a fresh start, and for tasks that are no trials."""
        return self._latest_checkpoint if self.task_type == TRIAL_TASK else None

    @property
    def user_data(self) -> dict[str, Any]:
        """The ``data`` section of the experiment configuration; empty for tasks that are no trials."""
        if self.task_type != TRIAL_TASK:
            return {}
        data: dict[str, Any] = self.trial._config.get("data") or {}
        return data

    @property
    def trial(self) -> TrialInfo:
        """The trial of this task.

        Raises:
            FailedPrecondition: the task is no trial; it is a RuntimeError.
        """
        if self.task_type != TRIAL_TASK:
            raise FailedPrecondition(f"a task of type {self.task_type} has no trial; check info.task_type first")
        if self._trial_info is None:
            raise FailedPrecondition("this trial was started without its trial.json; start it through the master")
        return self._trial_info

    @property
    def container_addrs(self) -> list[str]:
        """Addresses of all members of the allocation, in rank order."""
        return self._rendezvous.container_addrs

    @property
    def container_slot_counts(self) -> list[int]:
        """Slots of each member of the allocation, in rank order."""
        return self._rendezvous.container_slot_counts

    @property
    def container_rank(self) -> int:
        """Which member of the allocation this is."""
        return self._rendezvous.container_rank

    @property
    def gpu_uuids(self) -> list[str]:
        """Identifiers of the GPUs that this member holds."""
        return [] if self._resources_info is None else self._resources_info.gpu_uuids

    @property
    def _rendezvous(self) -> RendezvousInfo:
        # Only a trial spreads over members, and a trial on one host is its own only member.
        if self.task_type != TRIAL_TASK or self._rendezvous_info is None:
            return RendezvousInfo(["127.0.0.1"], 0, [len(self.slot_ids)])
        return self._rendezvous_info


def read_cluster_info(environ: Mapping[str, str], default_dir: str = DEFAULT_INFO_DIR) -> ClusterInfo | None:
    """The task described by ``environ`` and the info files; None when there is none.

    Raises:
        CorruptState: an info file or variable is there but cannot be understood.
    """
    named = environ.get("DET_INFO_DIR")
    if named and (info := _from_folder(named)) is not None:
        return info
    if all(name in environ for name in _CLUSTER_VARIABLES.values()):
        return _from_variables(environ, named or default_dir)
    return _from_folder(default_dir)


def _from_folder(folder: str) -> ClusterInfo | None:
    cluster = _load(folder, "cluster.json")
    if cluster is None:
        return None
    trial = _load(folder, "trial.json")
    if trial is not None:
        trial = {"debug": False, "inter_node_network_interface": None, **trial}
    return _assemble(folder, cluster, trial)


def _from_variables(environ: Mapping[str, str], folder: str) -> ClusterInfo:
    cluster = {
        field: environ[name] if field in _TEXT_FIELDS else _parse(name, environ[name])
        for field, name in _CLUSTER_VARIABLES.items()
    }
    cluster.update({field: environ.get(name) for field, name in _CLUSTER_OPTIONAL.items()})
    trial: dict[str, Any] | None = None
    if all(name in environ for name in _TRIAL_VARIABLES.values()):
        trial = {field: _parse(name, environ[name]) for field, name in _TRIAL_VARIABLES.items()}
        trial["debug"] = bool(trial["config"].get("debug", False))
        trial["inter_node_network_interface"] = environ.get("DET_INTER_NODE_NETWORK_INTERFACE")
    return _assemble(folder, cluster, trial)


def _assemble(folder: str, cluster: dict[str, Any], trial: dict[str, Any] | None) -> ClusterInfo:
    rendezvous = _load(folder, "rendezvous.json")
    resources = _load(folder, "resources.json")
    try:
        return ClusterInfo(
            **cluster,
            trial_info=None if trial is None else TrialInfo(**trial),
            rendezvous_info=None if rendezvous is None else RendezvousInfo(**rendezvous),
            resources_info=None if resources is None else ResourcesInfo(**resources),
        )
    except TypeError as error:
        raise CorruptState(
            f"the description of this task in {folder} or in its DET_* variables is not of a form known here"
            f" ({error}); was it written by another version of the master?"
        ) from error


def _load(folder: str, name: str) -> dict[str, Any] | None:
    path = f"{folder}/{name}"
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib would be imported for this alone
            return _checked_object(path, json.load(file))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise CorruptState(f"{path} is not JSON ({error}); start the task again") from error


def _checked_object(path: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CorruptState(f"{path} holds {type(value).__name__} where an object is expected; start the task again")
    return value


def _parse(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise CorruptState(f"{name} is {text[:80]!r}, which is not JSON; start the task again") from error


_UNREAD: Any = object()
_known: ClusterInfo | None = _UNREAD


def get_cluster_info() -> ClusterInfo | None:
    """The task that this process belongs to, or None when it runs off the cluster. Read once per process."""
    global _known
    if _known is _UNREAD:
        _known = read_cluster_info(os.environ)
    return _known
