"""Everything on disk that a run needs before its first process exists. Blocking: call it from a thread."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from determined import files
from determined.errors import InvalidInput
from determined.files import action
from determined.launchers import environment, paths
from determined.launchers.deleting import delete_tree
from determined.launchers.protocol import RunSpec, Slot
from determined.launchers.templates import Template, template_of
from determined.launchers.used_folders import UsedFolders

_log = logging.getLogger(__name__)
LEFTOVER_GRACE_S = 0.5
"""For processes that outlive a run's main process, such as one that tidies up shared memory."""


def prepare(
    folder: Path, spec: RunSpec, slots: Sequence[Slot], used: UsedFolders, leash: Path | None = None
) -> Template | None:
    """Fill a run's folder; left-overs of an attempt that was cut short are replaced.

    Args:
        used: folders of other runs that this one may get.
        leash: what ties the run to its keeper; see `determined.launchers.leash`. None: the run lives on without one.

    Returns:
        What the run can be forked from, if it can.

    Raises:
        InvalidInput: the model definition, or a name, cannot be used: the run's own fault.
        OSError: the machine's fault.
    """
    clear(folder)
    context = used.make(folder, spec.context)
    work, info = folder / paths.WORK, folder / paths.INFO
    for name, text in spec.info_files.items():
        paths.fill(info / _plain(name), text, "launcher.info")
    for path in info.iterdir():
        if path.name not in spec.info_files:
            # It is of the run that had the folder before.
            files.remove(path, "launcher.trim")
    binds = _genuine_binds(folder, spec) if spec.genuine_paths else []
    if binds:
        root = Path(environment.GENUINE_ROOT)
        work, info = root / "workdir", root / "info"
    env = environment.build(spec, slots, folder, work, info, os.environ)
    template = None if spec.warm is None else template_of(spec.argv, spec.warm, env, folder / paths.WORK, context)
    record = {"argv": spec.argv, "env": env, "cwd": str(work), "binds": binds, "grace_s": LEFTOVER_GRACE_S}
    record |= {"warm": template is not None, "leash": None if leash is None else str(leash)}
    paths.fill(folder / paths.SPEC, json.dumps(record), "launcher.spec")
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


def clear(folder: Path, used: UsedFolders | None = None) -> None:
    """Delete a run's files and secrets, but not its log and the record of its end.

    Args:
        used: may keep some of them for other runs.
    """
    with action("launcher.clear"):
        if used is not None:
            used.give_back(folder)
        for name in (paths.SCRATCH, paths.MODEL, paths.GENUINE):
            delete_tree(folder / name)


def clear_ended(runs: Path) -> None:
    """Clear after runs whose end is on record, for a master that was stopped before it could."""
    for end in runs.glob(f"*/{paths.EXIT}"):
        if os.path.lexists(end.parent / paths.SCRATCH):
            try:
                clear(end.parent)
            except OSError as error:
                # One run must not keep the master from all others.
                _log.warning("files of the ended run %s stay behind: %s", end.parent.name, error)
