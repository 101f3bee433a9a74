"""Checkpoints of a training script: files in storage first, whole or not at all, then a word to the master."""

from __future__ import annotations

import contextlib
import enum
import logging
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from determined.core._distributed import DistributedContext
from determined.core._errors import NotAvailable, UnsuitableValue
from determined.core._files import METADATA_FILE, Selector, checked_storage_id, list_folder, select
from determined.core._storage import Storage
from determined.core._values import to_wire
from determined.errors import FailedPrecondition, InvalidInput
from determined.steps import step

if TYPE_CHECKING:
    from determined.core._master import Master
    from determined.core._sharded import Shards
    from determined.core._tensorboard import Mirror

logger = logging.getLogger("determined.core")

T = TypeVar("T")


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
            shard: all processes call, and the checkpoint holds the files of all; those without any give None. A file
                that several have must have the same content. ``metadata`` is merged.
            selector: says which paths to take; it gets them relative to ``ckpt_dir``, folders with "/" at the
                end. The folders that lead to a chosen path are taken too.
        Returns:
            The name of the checkpoint, its storage id.
        Raises:
            InvalidInput: ``steps_completed`` is missing on the cluster; it is a ValueError, and nothing was stored.
            FailedPrecondition: no folder was given, a worker called without ``shard``, or ranks have different files
                or metadata of one name; it is a RuntimeError, and nothing was stored.
        """
        if shard and self._dist.size > 1:
            return self._shards().upload(ckpt_dir, metadata, selector)
        self._check_caller("upload")
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
            download_mode: who downloads when there are several processes. When they share it, the folder is that of
                the first process of the machine, and holds what any of them wants.
            selector: says which paths to take.
        Raises:
            NotFound: there is no such checkpoint in the storage.
        """
        if not self._is_shared(download_mode):
            return self._storage.download(storage_id, Path(ckpt_dir), selector)
        wanted = self._wanted_here(storage_id, selector)
        return self._first_here_does(lambda: self._storage.download(storage_id, Path(ckpt_dir), wanted))

    def store_path(
        self, metadata: dict[str, Any] | None = None, *, shard: bool = False
    ) -> contextlib.AbstractContextManager[tuple[Path, str]]:
        """A folder to write a checkpoint to; leaving the block stores it.

        The folder is temporary: outside the block only the storage id means anything. When the block raises,
        nothing is stored.

        Args:
            metadata: JSON values to keep with it, as they are when the block ends; on the cluster
                ``steps_completed`` must be among them.
            shard: all processes call, each gets a folder of its own, and the checkpoint holds the files of all. A file
                that several have must have the same content. ``metadata`` is merged. All leave the block together,
                when the checkpoint exists.
        Raises:
            InvalidInput: ``steps_completed`` is missing on the cluster; it is a ValueError, and nothing was stored.
            FailedPrecondition: a worker called without ``shard``, or ranks have different files or metadata of one
                name; it is a RuntimeError, and nothing was stored.
        """
        if shard and self._dist.size > 1:
            return self._shards().store_path(metadata)
        return self._store_path(metadata)

    @contextlib.contextmanager
    def _store_path(self, metadata: dict[str, Any] | None) -> Iterator[tuple[Path, str]]:
        self._check_caller("store_path")
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
        if not self._is_shared(download_mode):
            with self._storage.open(storage_id, selector) as folder:
                yield folder
            return
        wanted = self._wanted_here(storage_id, selector)
        with contextlib.ExitStack() as opened:
            yield self._first_here_does(lambda: opened.enter_context(self._storage.open(storage_id, wanted)))
            # The first process may remove the folder only when nobody reads it any more.
            self._dist.allgather_local(None)

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

    def _check_caller(self, call: str) -> None:
        if self._dist.rank != 0:
            raise FailedPrecondition(
                f"{call}() was called by rank {self._dist.rank} without shard=True; call it on rank 0 only, or with"
                " shard=True on all"
            )

    def _shards(self) -> Shards:
        from determined.core._sharded import Shards

        return Shards(self._dist, self._storage, _plain, self._check_metadata, self._report)

    def _is_shared(self, mode: DownloadMode) -> bool:
        return DownloadMode(mode) is DownloadMode.LocalWorkersShareDownload and self._dist.local_size > 1

    def _wanted_here(self, storage_id: str, selector: Selector | None) -> Selector | None:
        """What any process of this machine wants of a checkpoint; on its first process, for which alone it matters."""
        from determined.core._together import all_do

        if not any(self._dist.allgather_local(selector is not None)):
            return None
        names = self._first_here_does(lambda: list(self._storage.contents(storage_id)))
        mine = all_do(
            self._dist.allgather_local,
            lambda: {name for name in names if selector is None or selector(name)},
            "selecting files of a checkpoint",
        )
        return set().union(*mine).__contains__

    def _first_here_does(self, call: Callable[[], T]) -> T:
        from determined.core._together import one_does

        return one_does(self._dist.broadcast_local, self._dist.local_rank == 0, call, "reading a checkpoint")

    def _checked_metadata(self, metadata: Mapping[str, Any] | None) -> dict[str, Any]:
        kept = _plain(metadata)
        self._check_metadata(kept)
        return kept

    def _check_metadata(self, metadata: Mapping[str, Any]) -> None:
        if "steps_completed" not in metadata:
            raise InvalidInput(
                "the metadata of a checkpoint has no steps_completed, which says where to resume;"
                ' give metadata={"steps_completed": ...}; nothing was stored'
            )
        # What has failed before is raised now, when nothing has been stored yet.
        self._master.finish_reports()

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

    def _check_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Nobody asks for steps here."""

    def _report(self, storage_id: str, resources: Mapping[str, int], metadata: Mapping[str, Any]) -> None:
        logger.info("checkpoint %s stored in %r", storage_id, self._storage)


def _plain(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    plain = to_wire({} if metadata is None else metadata, "metadata")
    if not isinstance(plain, dict):
        raise UnsuitableValue(f"metadata is {type(metadata).__qualname__}; give a dictionary")
    return plain
