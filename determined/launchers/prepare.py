"""Everything on disk that a run needs before its first process exists. Blocking: call it from a thread."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from determined import files
from determined.errors import InvalidInput
from determined.files import action
from determined.launchers import context, environment, paths
from determined.launchers.protocol import RunSpec, Slot
from determined.launchers.templates import Template, template_of

LEFTOVER_GRACE_S = 0.5
"""For processes that outlive a run's main process, such as one that tidies up shared memory."""


def prepare(folder: Path, spec: RunSpec, slots: Sequence[Slot], leash: Path | None = None) -> Template | None:
    """Fill a run's folder; left-overs of an attempt that was cut short are replaced.

    Args:
        leash: what ties the run to its keeper; see `determined.launchers.leash`. None: the run lives on without one.

    Returns:
        What the run can be forked from, if it can.

    Raises:
        InvalidInput: the model definition, or a name, cannot be used: the run's own fault.
        OSError: the machine's fault.
    """
    clear(folder)
    work, info = folder / paths.WORK, folder / paths.INFO
    with action("launcher.folders"):
        work.mkdir(mode=0o700)
        info.mkdir(mode=0o700)
    if spec.context is not None:
        with action("launcher.unpack"):
            context.unpack(spec.context, work)
    for name, text in spec.info_files.items():
        paths.write_new(info / _plain(name), text, "launcher.info")
    binds = _genuine_binds(folder, spec) if spec.genuine_paths else []
    if binds:
        root = Path(environment.GENUINE_ROOT)
        work, info = root / "workdir", root / "info"
    env = environment.build(spec, slots, folder, work, info, os.environ)
    template = None if spec.warm is None else template_of(spec.argv, spec.warm, env, folder / paths.WORK)
    record = {"argv": spec.argv, "env": env, "cwd": str(work), "binds": binds, "grace_s": LEFTOVER_GRACE_S}
    record |= {"warm": template is not None, "leash": None if leash is None else str(leash)}
    paths.write_atomic(folder / paths.SPEC, json.dumps(record), "launcher.spec", sync=False)
    return template


def cool(folder: Path) -> None:
    """Let a prepared run have an interpreter of its own after all."""
    record = {**json.loads((folder / paths.SPEC).read_bytes()), "warm": False}
    paths.write_atomic(folder / paths.SPEC, json.dumps(record), "launcher.spec", sync=False)


def _plain(name: str) -> str:
    if Path(name).name != name or "\0" in name:
        raise InvalidInput(f"info file {name!r} must be a plain file name, without folders.")
    return name


def _genuine_binds(folder: Path, spec: RunSpec) -> list[tuple[str, str]]:
    """(source, target) pairs, outer folders first."""
    root = folder / paths.GENUINE
    model = folder / paths.MODEL
    with action("launcher.genuine"):
        for inner in (paths.INFO, "workdir", "train/model"):
            root.joinpath(inner).mkdir(parents=True)
        shutil.copytree(folder / paths.WORK, model, symlinks=True)
    binds = [
        (str(root), environment.GENUINE_ROOT),
        (str(folder / paths.INFO), f"{environment.GENUINE_ROOT}/info"),
        (str(folder / paths.WORK), f"{environment.GENUINE_ROOT}/workdir"),
        (str(model), f"{environment.GENUINE_ROOT}/train/model"),
    ]
    if spec.shared_fs_host_path is not None:
        files.make_folder(Path(spec.shared_fs_host_path), "launcher.checkpoints")
        binds.append((spec.shared_fs_host_path, environment.GENUINE_SHARED_FS))
    return binds


def clear(folder: Path) -> None:
    """Delete a run's files and secrets, but not its log and the record of its end."""
    clear_secrets(folder)
    for name in (paths.WORK, paths.MODEL, paths.GENUINE):
        delete_tree(folder / name)


def clear_secrets(folder: Path) -> None:
    """Delete what holds tokens; quick."""
    with action("launcher.clear"):
        folder.joinpath(paths.SPEC).unlink(missing_ok=True)
    delete_tree(folder / paths.INFO)


def clear_ended(runs: Path) -> None:
    """Clear after runs whose end is on record, for a master that was stopped before it could."""
    for end in runs.glob(f"*/{paths.EXIT}"):
        if end.parent.joinpath(paths.WORK).exists() or end.parent.joinpath(paths.SPEC).exists():
            clear(end.parent)


def delete_tree(folder: Path) -> None:
    """Delete a folder, also where the run took away our permission to write.

    Raises:
        OSError: something cannot be deleted.
    """
    if not folder.exists():
        return
    with action("launcher.delete"):
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            for parent, _, _ in os.walk(folder):
                Path(parent).chmod(0o700)
            shutil.rmtree(folder)
