"""What a run finds in its environment, and which devices it may use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from determined.errors import InvalidInput
from determined.launchers import devices, environment
from determined.launchers.protocol import RunSpec, Slot, SlotKind

GPUS = (Slot(0, SlotKind.CUDA, "A", "GPU-a"), Slot(1, SlotKind.CUDA, "A", "GPU-b"))
CPUS = (Slot(0, SlotKind.CPU, "cpu 0"),)
LISTING = "0, GPU-a, NVIDIA A100\n1, GPU-b, NVIDIA A100, 80GB\n"


def build(slots: tuple[Slot, ...] = CPUS, slot_ids: tuple[int, ...] = (0,), **env: str) -> dict[str, str]:
    spec = RunSpec("1.a.1", ("true",), {"DET_ALLOCATION_ID": "1.a.1", **env}, slot_ids=slot_ids)
    inherited = {"PATH": "/bin", "HOME": "/h", "DET_MASTER": "secret", "PYTHONPATH": "/lib"}
    return environment.build(spec, slots, Path("/run"), Path("/run/work"), Path("/run/info"), inherited)


def test_the_masters_own_settings_do_not_reach_the_run() -> None:
    env = build()
    assert "DET_MASTER" not in env
    assert env["HOME"] == "/h"


def test_folders_and_paths_are_given() -> None:
    env = build(PATH="/usr/bin")
    assert [env[f"DET_{name}"] for name in ("RUN_FOLDER", "WORKDIR", "INFO_DIR")] == ["/run", "/run/work", "/run/info"]
    assert env["PATH"] == f"{Path(sys.executable).parent}{os.pathsep}/usr/bin"
    assert env["PYTHONPATH"] == f"/lib{os.pathsep}/run/work"


def test_python_output_is_unbuffered_unless_the_user_says_otherwise() -> None:
    assert build()["PYTHONUNBUFFERED"] == "1"
    assert build(PYTHONUNBUFFERED="")["PYTHONUNBUFFERED"] == ""


def test_a_run_sees_its_gpus_only() -> None:
    assert build(GPUS, (1,))["CUDA_VISIBLE_DEVICES"] == "GPU-b"
    assert build(GPUS, (0, 1))["CUDA_VISIBLE_DEVICES"] == "GPU-a,GPU-b"
    assert build(GPUS, ())["CUDA_VISIBLE_DEVICES"] == ""
    assert build(GPUS, (1,), CUDA_VISIBLE_DEVICES="7")["CUDA_VISIBLE_DEVICES"] == "7"


def test_without_gpus_nothing_is_said_about_them() -> None:
    assert "CUDA_VISIBLE_DEVICES" not in build()


def test_gpus_are_found_in_the_tools_listing() -> None:
    found = devices.parse_gpus(LISTING, None)
    assert [(slot.id, slot.uuid, slot.name) for slot in found] == [
        (0, "GPU-a", "NVIDIA A100"),
        (1, "GPU-b", "NVIDIA A100, 80GB"),
    ]


@pytest.mark.parametrize(("visible", "uuids"), [("1", ["GPU-b"]), ("GPU-b,GPU-a", ["GPU-b", "GPU-a"]), ("", [])])
def test_the_masters_own_restriction_holds_for_runs(visible: str, uuids: list[str]) -> None:
    assert [slot.uuid for slot in devices.parse_gpus(LISTING, visible)] == uuids


def test_a_listing_with_an_error_message_has_no_gpus() -> None:
    assert devices.parse_gpus("NVIDIA-SMI has failed because it could not talk, to, anything\n", None) == ()


def install_gpu_tool(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{text}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_slots_are_gpus_where_the_tool_lists_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_gpu_tool(tmp_path, "echo '0, GPU-a, A100'; echo '1, GPU-b, A100'", monkeypatch)
    assert [slot.uuid for slot in devices.find_slots(None)] == ["GPU-a", "GPU-b"]
    assert [slot.uuid for slot in devices.find_slots(1)] == ["GPU-a"]


def test_slots_are_cores_where_the_tool_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_gpu_tool(tmp_path, "exit 9", monkeypatch)
    assert [slot.kind for slot in devices.find_slots(3)] == [SlotKind.CPU] * 3
    assert len(devices.find_slots(None)) == max(2, devices.usable_cores())


def test_a_negative_number_of_slots_is_refused() -> None:
    with pytest.raises(InvalidInput, match="-1"):
        devices.find_slots(-1)
