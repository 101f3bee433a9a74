"""Deleting the files of checkpoints from the storage that a configuration names. Blocking: call it from a thread."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec

from determined import files
from determined.errors import InvalidInput


def delete_files(storage: Mapping[str, Any], checkpoint: str) -> None:
    """Delete one checkpoint's folder; one that is gone already is fine.

    Args:
        storage: the ``checkpoint_storage`` block of a complete configuration.
        checkpoint: its uuid, which becomes part of a path and so must be nothing else.
    Raises:
        InvalidInput: not a uuid, or a kind of storage that cannot be reached from here.
        OSError: the storage refused.
    """
    name = _checked(checkpoint)
    kind = storage.get("type")
    if kind == "shared_fs":
        root = Path(storage["host_path"]) / (storage.get("storage_path") or "")
        folder = root / name
        files.remove(folder, "master.checkpoint.remove")
        return
    fs, root_path = _remote(storage)
    path = f"{root_path}/{name}"
    if fs.exists(path):
        fs.rm(path, recursive=True)


def _checked(checkpoint: str) -> str:
    try:
        return str(uuid.UUID(checkpoint))
    except ValueError:
        raise InvalidInput(f"{checkpoint!r} is not the uuid of a checkpoint") from None


def _remote(storage: Mapping[str, Any]) -> tuple[Any, str]:
    kind = storage.get("type")
    prefix = str(storage.get("prefix") or "").strip("/")
    if kind == "s3":
        options = {"key": storage.get("access_key"), "secret": storage.get("secret_key")}
        fs = fsspec.filesystem("s3", endpoint_url=storage.get("endpoint_url"), **options)
        return fs, f"{storage['bucket']}/{prefix}".rstrip("/")
    if kind == "gcs":
        return fsspec.filesystem("gs"), f"{storage['bucket']}/{prefix}".rstrip("/")
    raise InvalidInput(f"checkpoints in {kind!r} storage cannot be deleted from here")
