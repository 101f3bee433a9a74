"""What a trial's process is told: environment variables and info files, as the Core API of any client reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from determined.domain.ids import task_id
from determined.domain.records import Experiment, Run, Trial, User


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Everything about one run that its process may need to know."""

    experiment: Experiment
    trial: Trial
    run: Run
    owner: User
    config: Mapping[str, Any]
    master_url: str
    master_id: str
    cluster_id: str
    run_token: str
    user_token: str
    checkpoint: str | None
    steps: int
    cert_file: str | None = None
    cert_name: str | None = None
    gpu_uuids: tuple[str, ...] = ()
    debug: bool = False


RESOURCES_TYPE = "docker-container"
"""The only kind that trial libraries in the field accept besides cluster schedulers that we are not."""
BASE_PORT = 12350
PORTS_PER_RUN = 10


def environment(facts: RunFacts) -> dict[str, str]:
    """The ``DET_*`` variables of a run. Values are secret: they hold its tokens."""
    url = urlsplit(facts.master_url)
    run = facts.run
    env = {
        "DET_MASTER": facts.master_url,
        "DET_MASTER_HOST": url.hostname or "",
        "DET_MASTER_ADDR": url.hostname or "",
        "DET_MASTER_PORT": str(url.port or (443 if url.scheme == "https" else 80)),
        "DET_USE_TLS": str(url.scheme == "https").lower(),
        "DET_MASTER_ID": facts.master_id,
        "DET_CLUSTER_ID": facts.cluster_id,
        "DET_AGENT_ID": run.agent,
        "DET_SLOT_IDS": json.dumps(list(run.slot_ids)),
        "DET_TASK_ID": task_id(facts.experiment.id, facts.trial.request_id),
        "DET_ALLOCATION_ID": run.allocation_id,
        "DET_RESOURCES_ID": run.allocation_id,
        "DET_CONTAINER_ID": run.allocation_id,
        "DET_RESOURCES_TYPE": RESOURCES_TYPE,
        "DET_SESSION_TOKEN": facts.run_token,
        "DET_USER": facts.owner.username,
        "DET_USER_TOKEN": facts.user_token,
        "DET_TASK_TYPE": "TRIAL",
        "DET_EXPERIMENT_ID": str(facts.experiment.id),
        "DET_TRIAL_ID": str(facts.trial.id),
        "DET_TRIAL_RUN_ID": str(run.run_id),
        "DET_TRIAL_SEED": str(facts.trial.seed),
        "DET_EXPERIMENT_CONFIG": facts.experiment.config,
        "DET_HPARAMS": facts.trial.hparams,
        "DET_STEPS_COMPLETED": str(facts.steps),
    }
    env |= _ports(run.slot_ids)
    if facts.checkpoint is not None:
        env["DET_LATEST_CHECKPOINT"] = facts.checkpoint
    if facts.cert_file is not None:
        env["DET_MASTER_CERT_FILE"] = facts.cert_file
    if facts.cert_name is not None:
        env["DET_MASTER_CERT_NAME"] = facts.cert_name
    if facts.debug:
        env["DET_DEBUG"] = "true"
    return env


def _ports(slot_ids: tuple[int, ...]) -> dict[str, str]:
    """Ports for the processes of one run to find each other; runs on one machine hold different slots."""
    base = BASE_PORT + PORTS_PER_RUN * (min(slot_ids) if slot_ids else 0)
    return {
        "DTRAIN_SSH_PORT": str(base),
        "INTER_TRAIN_PROCESS_COMM_PORT_1": str(base + 1),
        "INTER_TRAIN_PROCESS_COMM_PORT_2": str(base + 2),
        "C10D_PORT": str(base + 3),
    }


def info_files(facts: RunFacts) -> dict[str, str]:
    """The info files of a run: name -> JSON text, with exactly the keys that readers take."""
    cluster = {
        "master_url": facts.master_url,
        "cluster_id": facts.cluster_id,
        "agent_id": facts.run.agent,
        "slot_ids": list(facts.run.slot_ids),
        "task_id": task_id(facts.experiment.id, facts.trial.request_id),
        "allocation_id": facts.run.allocation_id,
        "session_token": facts.run_token,
        "task_type": "TRIAL",
        "master_cert_name": facts.cert_name,
        "master_cert_file": facts.cert_file,
        "latest_checkpoint": facts.checkpoint,
    }
    trial = {
        "trial_id": facts.trial.id,
        "experiment_id": facts.experiment.id,
        "trial_seed": facts.trial.seed,
        "hparams": json.loads(facts.trial.hparams),
        "config": facts.config,
        "steps_completed": facts.steps,
        "trial_run_id": facts.run.run_id,
        "debug": facts.debug,
        "inter_node_network_interface": None,
    }
    slots = max(len(facts.run.slot_ids), 1)
    rendezvous = {"container_addrs": ["127.0.0.1"], "container_rank": 0, "container_slot_counts": [slots]}
    resources = {"gpu_uuids": list(facts.gpu_uuids)}
    files = {"cluster": cluster, "trial": trial, "rendezvous": rendezvous, "resources": resources}
    return {f"{name}.json": json.dumps(content) for name, content in files.items()}
