"""Files of checkpoints in the storage that a configuration names. Blocking: call it from a thread."""

from __future__ import annotations

import functools
import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from determined import files
from determined.common.objects.checkpoints import ObjectCheckpoints
from determined.common.objects.place import Place, place_of
from determined.common.objects.store import ObjectStore
from determined.errors import InvalidInput

PATIENCE_S = 20.0
"""How long the master tries again what an object store does not answer; what fails is done at its next start."""
AT_ONCE = 200
"""Checkpoints that are deleted together."""


def is_local(storage: Mapping[str, Any]) -> bool:
    """Whether a ``checkpoint_storage`` block names a folder that the master sees."""
    return storage.get("type") == "shared_fs"


def local_folder(storage: Mapping[str, Any], checkpoint: str) -> Path:
    """Where a checkpoint lies in a storage that is a folder.

    Raises:
        InvalidInput: not a uuid.
    """
    return Path(storage["host_path"], storage.get("storage_path") or "", _checked(checkpoint))


def delete_files(storage: Mapping[str, Any], checkpoints: Sequence[str]) -> None:
    """Delete checkpoints; those that are gone already are fine.

    Args:
        storage: the ``checkpoint_storage`` block of a complete configuration.
        checkpoints: their uuids, which become parts of paths and so must be nothing else.
    Raises:
        InvalidInput: not a uuid, or a kind of storage that cannot be reached from here.
        OSError: the storage refused, or could not be reached.
    """
    names = [_checked(checkpoint) for checkpoint in checkpoints]
    if not is_local(storage):
        if names:
            _objects(storage).remove(names)
        return
    for name in names:
        files.remove(local_folder(storage, name), "master.checkpoint.remove")


def collect_unfinished(storage: Mapping[str, Any], experiment: str, registered: Collection[str]) -> None:
    """Delete what trials of an experiment that is over began to upload and never registered.

    A storage that is a folder has nothing of that kind: each run removes what those before it began.

    Args:
        experiment: its cluster and its id, as ``<cluster id>/<id>``.
        registered: uuids that the master knows; these are left alone.
    Raises:
        InvalidInput, OSError: as for ``delete_files``.
    """
    if not is_local(storage):
        _objects(storage, experiment).collect_unfinished(registered)


def fetch_files(storage: Mapping[str, Any], checkpoint: str, target: Path) -> None:
    """Copy a checkpoint out of an object store into a folder.

    Raises:
        NotFound: there is no such checkpoint.
        InvalidInput, OSError: as for ``delete_files``.
    """
    checkpoints = _objects(storage)
    name = _checked(checkpoint)
    checkpoints.store.download(name, checkpoints.sizes(name), target)


def _checked(checkpoint: str) -> str:
    try:
        return str(uuid.UUID(checkpoint))
    except ValueError:
        raise InvalidInput(f"{checkpoint!r} is not the uuid of a checkpoint") from None


def _objects(storage: Mapping[str, Any], owner: str = "master") -> ObjectCheckpoints:
    place = place_of(storage)
    store = _open(place.protocol, place.root, json.dumps(place.options, sort_keys=True))
    return ObjectCheckpoints(store.patient(PATIENCE_S), owner)


@functools.lru_cache(maxsize=16)
def _open(protocol: str, root: str, options: str) -> ObjectStore:
    """Kept, since the libraries of object stores take a good part of a second to open one."""
    return ObjectStore(Place(protocol, root, json.loads(options)), PATIENCE_S)
