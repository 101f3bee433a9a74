"""Where the description of a task is looked for, and what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from determined._info import ClusterInfo, read_cluster_info
from determined.errors import CorruptState

CLUSTER: dict[str, Any] = {
    "master_url": "http://127.0.0.1:8080",
    "cluster_id": "c",
    "agent_id": "host",
    "slot_ids": [0],
    "task_id": "5.trial",
    "allocation_id": "5.trial.1",
    "session_token": "secret",
    "task_type": "TRIAL",
    "master_cert_name": None,
    "master_cert_file": None,
    "latest_checkpoint": "uuid",
}
TRIAL: dict[str, Any] = {
    "trial_id": 3,
    "experiment_id": 5,
    "trial_seed": 42,
    "hparams": {"lr": 0.1},
    "config": {"data": {"url": "x"}, "debug": True},
    "steps_completed": 7,
    "trial_run_id": 1,
    "debug": False,
    "inter_node_network_interface": None,
}
VARIABLES = {
    "DET_MASTER": "http://127.0.0.1:9999",
    "DET_CLUSTER_ID": "c",
    "DET_AGENT_ID": "host",
    "DET_SLOT_IDS": "[0, 1]",
    "DET_TASK_ID": "6.trial",
    "DET_ALLOCATION_ID": "6.trial.1",
    "DET_SESSION_TOKEN": "123",
    "DET_TASK_TYPE": "TRIAL",
    "DET_TRIAL_ID": "4",
    "DET_EXPERIMENT_ID": "6",
    "DET_TRIAL_SEED": "1",
    "DET_HPARAMS": '{"lr": 0.2}',
    "DET_EXPERIMENT_CONFIG": '{"debug": true}',
    "DET_STEPS_COMPLETED": "0",
    "DET_TRIAL_RUN_ID": "2",
}


def write(folder: Path, **files: Any) -> str:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return str(folder)


def must_read(environ: dict[str, str], default_dir: str) -> ClusterInfo:
    info = read_cluster_info(environ, default_dir)
    assert info is not None
    return info


def test_without_any_description_there_is_no_task(tmp_path: Path) -> None:
    assert read_cluster_info({}, str(tmp_path)) is None
    assert read_cluster_info({"DET_INFO_DIR": str(tmp_path), "DET_TASK_ID": "1.x"}, str(tmp_path)) is None


def test_the_named_folder_comes_before_variables_and_these_before_the_fixed_folder(tmp_path: Path) -> None:
    named = write(tmp_path / "named", cluster=CLUSTER, trial=TRIAL)
    fixed = write(tmp_path / "fixed", cluster={**CLUSTER, "task_id": "7.trial"}, trial=TRIAL)
    assert must_read({**VARIABLES, "DET_INFO_DIR": named}, fixed).task_id == "5.trial"
    assert must_read(VARIABLES, fixed).task_id == "6.trial"
    assert must_read({}, fixed).task_id == "7.trial"


def test_files_give_everything(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "info",
        cluster=CLUSTER,
        trial=TRIAL,
        rendezvous={"container_addrs": ["10.0.0.1"], "container_rank": 0, "container_slot_counts": [1]},
        resources={"gpu_uuids": ["GPU-1"]},
    )
    info = must_read({"DET_INFO_DIR": folder}, "")
    assert (info.master_url, info.slot_ids, info.latest_checkpoint) == ("http://127.0.0.1:8080", [0], "uuid")
    assert (info.container_addrs, info.container_rank, info.container_slot_counts) == (["10.0.0.1"], 0, [1])
    assert info.gpu_uuids == ["GPU-1"]
    assert info.user_data == {"url": "x"}
    trial = info.trial
    assert (trial.trial_id, trial.experiment_id, trial.trial_seed, trial.hparams) == (3, 5, 42, {"lr": 0.1})
    assert (trial._steps_completed, trial._trial_run_id, trial._debug) == (7, 1, False)


def test_variables_give_the_trial_and_a_rendezvous_of_one(tmp_path: Path) -> None:
    info = must_read(VARIABLES, str(tmp_path))
    assert (info.session_token, info.slot_ids, info.latest_checkpoint) == ("123", [0, 1], None)
    assert (info.container_addrs, info.container_slot_counts, info.gpu_uuids) == (["127.0.0.1"], [2], [])
    assert (info.trial.trial_id, info.trial.hparams, info.trial._debug) == (4, {"lr": 0.2}, True)


def test_a_task_that_is_no_trial_has_no_trial(tmp_path: Path) -> None:
    info = must_read({"DET_INFO_DIR": write(tmp_path / "i", cluster={**CLUSTER, "task_type": "SHELL"})}, "")
    assert (info.user_data, info.latest_checkpoint, info.container_addrs) == ({}, None, ["127.0.0.1"])
    with pytest.raises(RuntimeError, match="SHELL"):
        _ = info.trial


@pytest.mark.parametrize("content", ["", "{", "[]", '{"unknown": 1}'])
def test_a_file_that_cannot_be_understood_is_named(tmp_path: Path, content: str) -> None:
    folder = write(tmp_path / "info", cluster=content)
    with pytest.raises(CorruptState, match="info"):
        read_cluster_info({"DET_INFO_DIR": folder}, "")


def test_a_variable_that_cannot_be_understood_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorruptState, match="DET_HPARAMS"):
        read_cluster_info({**VARIABLES, "DET_HPARAMS": "{"}, str(tmp_path))


def test_the_description_is_read_once_per_process(tmp_path: Path) -> None:
    folder = write(tmp_path / "info", cluster=CLUSTER, trial=TRIAL)
    script = """
import os, pathlib, determined as det
first = det.get_cluster_info()
pathlib.Path(os.environ["DET_INFO_DIR"], "cluster.json").unlink()
assert first is not None and det.get_cluster_info() is first
"""
    subprocess.run(
        [sys.executable, "-c", script], check=True, env={"DET_INFO_DIR": folder, "PYTHONPATH": ":".join(sys.path)}
    )
