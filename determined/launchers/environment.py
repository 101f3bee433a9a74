"""What a run finds in its environment: the master's own, without the master's secrets, and what the run adds."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from determined.launchers.protocol import RunSpec, Slot, SlotKind

RUN_FOLDER = "DET_RUN_FOLDER"
"""Names a run's folder in the environment of all of its processes. Unlike an allocation id it belongs to one master."""
GENUINE_ROOT = "/run/determined"
GENUINE_SHARED_FS = "/determined_shared_fs"


def build(
    spec: RunSpec, slots: Sequence[Slot], folder: Path, work: Path, info: Path, inherited: Mapping[str, str]
) -> dict[str, str]:
    """The whole environment of a run.

    Args:
        slots: all slots of the launcher.
        folder: the run's folder.
        work: the working folder as the run sees it.
        info: the folder of info files as the run sees it.
        inherited: the master's environment; its ``DET_*`` variables do not reach the run.
    """
    env = {name: value for name, value in inherited.items() if not name.startswith("DET_")}
    env["PYTHONUNBUFFERED"] = "1"
    env.update(_devices(spec, slots))
    env.update(spec.env)
    env[RUN_FOLDER] = str(folder)
    env["DET_WORKDIR"] = env["PWD"] = str(work)
    env["DET_INFO_DIR"] = str(info)
    env["PATH"] = _join(str(Path(sys.executable).parent), env.get("PATH", os.defpath))
    env["PYTHONPATH"] = _join(env.get("PYTHONPATH", ""), str(work))
    return env


def _devices(spec: RunSpec, slots: Sequence[Slot]) -> dict[str, str]:
    """Only a machine with GPUs needs to say which of them a run may see; a run without slots sees none."""
    gpus = {slot.id: slot.uuid or str(slot.id) for slot in slots if slot.kind is SlotKind.CUDA}
    if not gpus:
        return {}
    return {"CUDA_VISIBLE_DEVICES": ",".join(gpus[slot] for slot in spec.slot_ids if slot in gpus)}


def _join(*entries: str) -> str:
    return os.pathsep.join(entry for entry in entries if entry)
