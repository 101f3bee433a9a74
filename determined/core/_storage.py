"""Where checkpoints live: one folder for each, named after it, that is either whole or not there."""

from __future__ import annotations

import abc
import contextlib
import errno
import logging
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from determined import files
from determined.core._files import (
    METADATA_FILE,
    Selector,
    as_json,
    checked_relative,
    checked_storage_id,
    copy_into,
    list_folder,
    move_into,
    select,
    sync_tree,
)
from determined.errors import NotFound, StorageFailed

logger = logging.getLogger("determined.core")

_PARTIAL = ".partial"
_PROBE = b"Runs write this file to see whether checkpoints can be written here.\n"


class Storage(abc.ABC):
    """The contract of a checkpoint storage. Calls come from one thread at a time.

    A checkpoint is filled in a folder of its own (``begin``), then ``publish`` makes it whole under its name, with
    ``metadata.json`` as the last file. Who dies in between leaves nothing that looks like a checkpoint.
    """

    @abc.abstractmethod
    def begin(self, storage_id: str) -> Path:
        """A new, empty local folder in which to write the checkpoint."""

    @abc.abstractmethod
    def publish(self, storage_id: str, folder: Path, metadata: Mapping[str, Any]) -> dict[str, int]:
        """Make the folder from ``begin`` the checkpoint; the folder is gone afterwards.

        Returns:
            What the checkpoint holds, as ``list_folder`` has it, without ``metadata.json``.
        """

    @abc.abstractmethod
    def abandon(self, folder: Path) -> None:
        """Drop the folder from ``begin``. Repeating it changes nothing."""

    @abc.abstractmethod
    def upload(self, storage_id: str, source: Path, names: Iterable[str], metadata: Mapping[str, Any]) -> None:
        """Make a checkpoint of the named files and folders of ``source``, which is left as it is."""

    @abc.abstractmethod
    def begin_shard(self, storage_id: str, rank: int) -> Path:
        """A new, empty local folder for the files that one of several processes has for a checkpoint."""

    @abc.abstractmethod
    def add_shard(self, storage_id: str, source: Path, names: Iterable[str], keep: bool) -> None:
        """Put the named files and folders of ``source`` into a checkpoint that several processes write at once.

        Args:
            storage_id: the checkpoint.
            source: from ``begin_shard``, or any folder.
            names: no file among them is another process's.
            keep: leave ``source`` as it is.
        """

    @abc.abstractmethod
    def publish_shards(self, storage_id: str, resources: Mapping[str, int], metadata: Mapping[str, Any]) -> None:
        """Make it a checkpoint, when all have added theirs; one process does it.

        Args:
            storage_id: the checkpoint.
            resources: what was added by all, as ``list_folder`` has it.
            metadata: to keep with it.
        Raises:
            StorageFailed: something of that is not there.
        """

    @abc.abstractmethod
    def abandon_shards(self, storage_id: str) -> None:
        """Drop what was added, unless it is published. Repeating it changes nothing."""

    @abc.abstractmethod
    def contents(self, storage_id: str) -> dict[str, int]:
        """What a checkpoint holds, as ``list_folder`` has it, with ``metadata.json``.

        Raises:
            NotFound: there is no such checkpoint.
        """

    @abc.abstractmethod
    def download(self, storage_id: str, target: Path, selector: Selector | None = None) -> None:
        """Copy the wanted part of a checkpoint into ``target``, which is made if need be.

        Raises:
            NotFound: there is no such checkpoint.
        """

    @abc.abstractmethod
    def open(self, storage_id: str, selector: Selector | None = None) -> contextlib.AbstractContextManager[Path]:
        """A local folder with at least the wanted part of a checkpoint; not to be written to.

        Raises:
            NotFound: there is no such checkpoint.
        """

    @abc.abstractmethod
    def delete(self, storage_id: str) -> None:
        """Delete a checkpoint's files. One that is not there is ignored."""

    @abc.abstractmethod
    def put(self, source: Path, name: str) -> None:
        """Copy one file to ``name``, a path relative to the root of the storage; overwrite what is there."""

    @abc.abstractmethod
    def probe(self) -> None:
        """Write and read something small; whatever goes wrong is raised."""

    def confirm(self, storage_id: str) -> None:  # noqa: B027 - most storages have nothing to do
        """The master knows the checkpoint now, so that it is no leftover of its run. Never fails."""

    @abc.abstractmethod
    def discard_partial(self) -> None:
        """Remove what earlier runs of the same owner began and never published."""


class LocalStorage(Storage):
    """Checkpoints in a folder that every host which needs them can reach.

    Args:
        root: the folder; made when first needed.
        owner: names the task whose unfinished checkpoints ``discard_partial`` may remove.
    """

    def __init__(self, root: str | os.PathLike[str], owner: str = "local") -> None:
        self.root = Path(os.path.abspath(root))  # noqa: PTH100 - pathlib would not drop ".." here
        self._owner = owner.replace("/", "_")

    def __repr__(self) -> str:
        return f"the folder {self.root}"

    def begin(self, storage_id: str) -> Path:
        """A folder beside the checkpoints, on the same file system, so that a rename publishes it."""
        folder = self._unfinished(storage_id)
        files.make_folder(folder.parent, "checkpoint.home")
        with files.action("checkpoint.begin"):
            folder.mkdir()
        return folder

    def publish(self, storage_id: str, folder: Path, metadata: Mapping[str, Any]) -> dict[str, int]:
        """Wait for the disk, write the metadata, rename."""
        resources = list_folder(folder)
        resources.pop(METADATA_FILE, None)
        with files.action("checkpoint.sync"):
            sync_tree(folder, resources)
        self._complete(storage_id, folder, metadata)
        return resources

    def _complete(self, storage_id: str, folder: Path, metadata: Mapping[str, Any]) -> None:
        files.write_file(folder / METADATA_FILE, as_json(metadata), "checkpoint.metadata")
        files.sync(folder)
        files.move(folder, self.root / checked_storage_id(storage_id), "checkpoint")

    def abandon(self, folder: Path) -> None:
        """Remove the folder."""
        _remove(folder)

    def upload(self, storage_id: str, source: Path, names: Iterable[str], metadata: Mapping[str, Any]) -> None:
        """Copy to a folder beside the checkpoints, then publish that."""
        folder = self.begin(storage_id)
        try:
            copy_into(source, folder, names)
            self.publish(storage_id, folder, metadata)
        except BaseException:
            self.abandon(folder)
            raise

    def begin_shard(self, storage_id: str, rank: int) -> Path:
        """A folder on the same file system as the checkpoints."""
        return self.begin(f"{checked_storage_id(storage_id)}--rank-{rank}")

    def add_shard(self, storage_id: str, source: Path, names: Iterable[str], keep: bool) -> None:
        """Move or copy to a folder beside the checkpoints, which all processes fill, and wait for the disk."""
        folder = self._unfinished(storage_id)
        wanted = list(names)
        with files.action("checkpoint.shard"):
            folder.mkdir(parents=True, exist_ok=True)
            if keep:
                copy_into(source, folder, wanted)
            else:
                move_into(source, folder, wanted)
            sync_tree(folder, wanted)

    def publish_shards(self, storage_id: str, resources: Mapping[str, int], metadata: Mapping[str, Any]) -> None:
        """See that all is there, write the metadata, rename."""
        folder = self._unfinished(storage_id)
        with files.action("checkpoint.shards"):
            # Nobody may have had a file.
            folder.mkdir(parents=True, exist_ok=True)
        found = list_folder(folder)
        missing = sorted(name for name, size in resources.items() if found.get(name) != size)
        if missing:
            raise StorageFailed(
                f"{', '.join(missing[:5])} of checkpoint {storage_id} did not arrive in {self.root} as written; a trial"
                " on several machines needs a checkpoint_storage that all of them share"
            )
        # Everyone has waited for the disk with its own.
        self._complete(storage_id, folder, metadata)

    def abandon_shards(self, storage_id: str) -> None:
        """Remove the folder."""
        _remove(self._unfinished(storage_id))

    def _unfinished(self, storage_id: str) -> Path:
        return self.root / _PARTIAL / f"{self._owner}--{checked_storage_id(storage_id)}"

    def contents(self, storage_id: str) -> dict[str, int]:
        """What is in the folder."""
        with self.open(storage_id) as folder:
            return list_folder(folder)

    def download(self, storage_id: str, target: Path, selector: Selector | None = None) -> None:
        """Copy from the folder."""
        with self.open(storage_id) as folder:
            copy_into(folder, target, select(list_folder(folder), selector))

    @contextlib.contextmanager
    def open(self, storage_id: str, selector: Selector | None = None) -> Iterator[Path]:
        """The checkpoint's own folder: nothing is copied, and so nothing is left out."""
        folder = self.root / checked_storage_id(storage_id)
        if not folder.is_dir():
            raise NotFound(f"there is no checkpoint {storage_id} in {self.root}; see `det checkpoint describe`")
        yield folder

    def delete(self, storage_id: str) -> None:
        """Take the folder out of sight in one step, then remove it."""
        folder = self.root / checked_storage_id(storage_id)
        if not folder.is_dir():
            logger.info("checkpoint %s is not in %s; nothing to delete", storage_id, self.root)
            return
        doomed = self.root / _PARTIAL / f"{self._owner}--deleted-{uuid.uuid4()}"
        files.make_folder(doomed.parent, "checkpoint.home")
        files.move(folder, doomed, "checkpoint.delete")
        _remove(doomed)

    def put(self, source: Path, name: str) -> None:
        """Copy the file to its place."""
        import shutil

        place = self.root / checked_relative(name)
        with files.action("checkpoint.put"):
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, place)

    def probe(self) -> None:
        """Try the folder as ``begin`` uses it, with one file for all runs of a user; of quotas nothing is known.

        It stays: where many files were deleted lately, some file systems take long to make another one.
        """
        partial = self.root / _PARTIAL
        files.make_folder(partial, "checkpoint.home")
        try:
            found = files.echo(partial / f"probe-{os.getuid()}", _PROBE, "checkpoint.probe")
        except OSError as error:
            if not isinstance(error, PermissionError) and error.errno != errno.ELOOP:
                raise
            # It is somebody else's.
            own = partial / f"probe-{os.getpid()}-{uuid.uuid4()}"
            try:
                found = files.echo(own, _PROBE, "checkpoint.probe")
            finally:
                files.remove(own, "checkpoint.probe.remove")
        if found != _PROBE:
            raise StorageFailed(f"{self.root} gave back other bytes than were written; check the file system")
        self._demand_room(partial)

    @staticmethod
    def _demand_room(folder: Path) -> None:
        place = os.statvfs(folder)
        # Some is kept for the superuser.
        left = place.f_bfree if os.getuid() == 0 else place.f_bavail
        if (place.f_blocks and not left) or (place.f_files and not place.f_favail):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))

    def discard_partial(self) -> None:
        """Remove the owner's unfinished folders."""
        partial = self.root / _PARTIAL
        for entry in list(partial.iterdir()) if partial.is_dir() else []:
            if entry.name.startswith(f"{self._owner}--"):
                _remove(entry)


def _remove(folder: Path) -> None:
    try:
        files.remove(folder, "checkpoint.remove")
    except FileNotFoundError:
        return
    except OSError as error:
        # What is left lies among the unfinished checkpoints, where nothing reads it.
        logger.warning("could not remove %s (%s); delete it by hand", folder, error)
