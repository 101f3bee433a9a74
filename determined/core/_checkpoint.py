"""Checkpoints of a training script: files in storage first, whole or not at all, then a word to the master."""

from __future__ import annotations

import contextlib
import enum
import logging
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from determined.core._distributed import DistributedContext
from determined.core._errors import NotAvailable, UnsuitableValue
from determined.core._files import METADATA_FILE, Selector, checked_storage_id, list_folder, select
from determined.core._storage import Storage
from determined.core._values import to_wire
from determined.errors import FailedPrecondition, InvalidInput
from determined.steps import step

if TYPE_CHECKING:
    from determined.core._master import Master
    from determined.core._tensorboard import Mirror

logger = logging.getLogger("determined.core")


class DownloadMode(enum.Enum):
    """Who downloads a checkpoint when a machine has several processes of the trial."""

    LocalWorkersShareDownload = "LOCAL_WORKERS_SHARE_DOWNLOAD"
    """One of them, for all; all must call in step."""
    NoSharedDownload = "NO_SHARED_DOWNLOAD"
    """Each for itself."""


class CheckpointContext:
    """Stores, restores and deletes checkpoints.

    A checkpoint is a folder of files with a random name. It is written to a place of its own, made durable, given
    its name in one step, and only then reported; so dying at any moment never leaves half a checkpoint to resume
    from.
    """

    def __init__(
        self,
        dist: DistributedContext,
        storage: Storage,
        master: Master,
        task_id: str,
        allocation_id: str,
        mirror: Mirror | None = None,
    ) -> None:
        self._dist = dist
        self._storage = storage
        self._master = master
        self._task_id = task_id
        self._allocation_id = allocation_id
        self._mirror = mirror

    def upload(
        self,
        ckpt_dir: str | os.PathLike[str] | None,
        metadata: dict[str, Any] | None = None,
        *,
        shard: bool = False,
        selector: Selector | None = None,
    ) -> str:
        """Make a checkpoint of the files in a folder, which is left as it is.

        Args:
            ckpt_dir: the folder.
            metadata: JSON values to keep with it; on the cluster ``steps_completed`` must be among them.
            shard: several processes contribute files; with one process the same as False.
            selector: says which paths to take; it gets them relative to ``ckpt_dir``, folders with "/" at the
                end. The folders that lead to a chosen path are taken too.
        Returns:
            The name of the checkpoint, its storage id.
        Raises:
            InvalidInput: ``steps_completed`` is missing on the cluster; it is a ValueError, and nothing was stored.
            FailedPrecondition: no folder was given, or a worker called; it is a RuntimeError.
        """
        self._check_caller("upload", shard)
        if ckpt_dir is None:
            raise FailedPrecondition("upload() was given ckpt_dir=None; give the folder that holds the checkpoint")
        source, storage_id = Path(ckpt_dir), str(uuid.uuid4())
        kept = self._checked_metadata(metadata)
        resources = list_folder(source)
        # It is ours to write, and may be left over from a checkpoint that was downloaded here.
        resources.pop(METADATA_FILE, None)
        resources = select(resources, selector)
        self._storage.upload(storage_id, source, resources, kept)
        self._report(storage_id, resources, kept)
        self._storage.confirm(storage_id)
        return storage_id

    def download(
        self,
        storage_id: str,
        ckpt_dir: str | os.PathLike[str],
        download_mode: DownloadMode = DownloadMode.LocalWorkersShareDownload,
        *,
        selector: Selector | None = None,
    ) -> None:
        """Copy a checkpoint into a folder, which is made if need be.

        Args:
            storage_id: the checkpoint.
            ckpt_dir: the folder; files of the same names are overwritten.
            download_mode: who downloads when there are several processes.
            selector: says which paths to take.
        Raises:
            NotFound: there is no such checkpoint in the storage.
        """
        DownloadMode(download_mode)
        self._storage.download(storage_id, Path(ckpt_dir), selector)

    @contextlib.contextmanager
    def store_path(self, metadata: dict[str, Any] | None = None, *, shard: bool = False) -> Iterator[tuple[Path, str]]:
        """A folder to write a checkpoint to; leaving the block stores it.

        The folder is temporary: outside the block only the storage id means anything. When the block raises,
        nothing is stored.

        Args:
            metadata: JSON values to keep with it, as they are when the block ends; on the cluster
                ``steps_completed`` must be among them.
            shard: several processes write files; with one process the same as False.
        Raises:
            InvalidInput: ``steps_completed`` is missing on the cluster; it is a ValueError, and nothing was stored.
            FailedPrecondition: a worker called; it is a RuntimeError.
        """
        self._check_caller("store_path", shard)
        storage_id = str(uuid.uuid4())
        folder = self._storage.begin(storage_id)
        try:
            yield folder, storage_id
            kept = self._checked_metadata(metadata)
            resources = self._storage.publish(storage_id, folder, kept)
        except BaseException:
            self._storage.abandon(folder)
            raise
        self._report(storage_id, resources, kept)
        self._storage.confirm(storage_id)

    @contextlib.contextmanager
    def restore_path(
        self,
        storage_id: str,
        download_mode: DownloadMode = DownloadMode.LocalWorkersShareDownload,
        *,
        selector: Selector | None = None,
    ) -> Iterator[Path]:
        """A local folder with a checkpoint's files, for reading only, until the block ends.

        Args:
            storage_id: the checkpoint.
            download_mode: who downloads when there are several processes.
            selector: says which paths are needed; a storage that is a folder shows all of them all the same.
        Raises:
            NotFound: there is no such checkpoint in the storage.
        """
        DownloadMode(download_mode)
        with self._storage.open(storage_id, selector) as folder:
            yield folder

    def get_metadata(self, storage_id: str) -> dict[str, Any]:
        """The metadata that the master has for a checkpoint.

        Raises:
            NotFound: the master knows no such checkpoint.
        """
        answer = self._master.get(f"/api/v1/checkpoints/{checked_storage_id(storage_id)}")
        metadata: dict[str, Any] = answer["checkpoint"].get("metadata") or {}
        return metadata

    def delete(self, storage_id: str) -> None:
        """Delete a checkpoint's files from the storage."""
        self._storage.delete(storage_id)

    def _check_caller(self, call: str, shard: bool) -> None:
        if shard and self._dist.size > 1:
            raise NotAvailable(
                f"{call}(shard=True) with {self._dist.size} processes is not part of this version;"
                " gather the files on rank 0 and store them there"
            )
        if self._dist.rank != 0:
            raise FailedPrecondition(f"{call}() was called by rank {self._dist.rank}; call it on rank 0 only")

    def _checked_metadata(self, metadata: Mapping[str, Any] | None) -> dict[str, Any]:
        kept = _plain(metadata)
        if "steps_completed" not in kept:
            raise InvalidInput(
                "the metadata of a checkpoint has no steps_completed, which says where to resume;"
                ' give metadata={"steps_completed": ...}; nothing was stored'
            )
        # What has failed before is raised now, when nothing has been stored yet.
        self._master.finish_reports()
        return kept

    def _report(self, storage_id: str, resources: Mapping[str, int], metadata: Mapping[str, Any]) -> None:
        import datetime

        body = {
            "uuid": storage_id,
            "taskId": self._task_id,
            "allocationId": self._allocation_id,
            "reportTime": datetime.datetime.now(datetime.timezone.utc).isoformat(),
            "resources": {name: str(size) for name, size in resources.items()},
            "metadata": dict(metadata),
            "training": {},
            "state": "STATE_COMPLETED",
        }
        step("checkpoint.register.before")
        self._master.post("/api/v1/checkpoints", body)
        step("checkpoint.register.after")
        logger.info("checkpoint %s stored in %r and reported", storage_id, self._storage)
        if self._mirror is not None:
            self._mirror.sync()


class DummyCheckpointContext(CheckpointContext):
    """Off the cluster, checkpoints are stored and nobody is told."""

    def __init__(self, dist: DistributedContext, storage: Storage) -> None:
        self._dist = dist
        self._storage = storage

    def get_metadata(self, storage_id: str) -> dict[str, Any]:
        """Not possible without a master.

        Raises:
            NotAvailable: always; it is a NotImplementedError.
        """
        raise NotAvailable(
            f"off the cluster no master has metadata of checkpoint {storage_id};"
            f" read {METADATA_FILE} inside restore_path()"
        )

    def _checked_metadata(self, metadata: Mapping[str, Any] | None) -> dict[str, Any]:
        return _plain(metadata)

    def _report(self, storage_id: str, resources: Mapping[str, int], metadata: Mapping[str, Any]) -> None:
        logger.info("checkpoint %s stored in %r", storage_id, self._storage)


def _plain(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    plain = to_wire({} if metadata is None else metadata, "metadata")
    if not isinstance(plain, dict):
        raise UnsuitableValue(f"metadata is {type(metadata).__qualname__}; give a dictionary")
    return plain
