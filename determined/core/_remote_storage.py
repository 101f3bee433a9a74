"""Checkpoints in an object store, through fsspec.

There is no rename there: the files go up first and ``metadata.json`` last, and the master learns of the checkpoint
after that. Empty folders do not exist in an object store and are not kept.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import posixpath
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from determined.core._files import (
    METADATA_FILE,
    Selector,
    checked_relative,
    checked_storage_id,
    list_folder,
    select,
)
from determined.core._storage import Storage
from determined.errors import InvalidInput, NotFound, StorageFailed

logger = logging.getLogger("determined.core")

_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}


class RemoteStorage(Storage):
    """Checkpoints under one prefix of an object store.

    Args:
        protocol: the scheme as fsspec names it, such as ``s3`` or ``gs``.
        root: bucket and prefix, without a scheme.
        options: given to the fsspec file system as they are.
    """

    def __init__(self, protocol: str, root: str, options: Mapping[str, Any] | None = None) -> None:
        self._protocol = protocol
        self._root = root.rstrip("/")
        self._options = dict(options or {})

    def __repr__(self) -> str:
        return f"{self._protocol}://{self._root}"

    @functools.cached_property
    def _files(self) -> Any:
        import fsspec

        try:
            return fsspec.filesystem(self._protocol, **self._options)
        except ImportError as error:
            package = _PACKAGES.get(self._protocol, "the package that fsspec names")
            raise InvalidInput(f"{self!r} needs {package}, which is not installed: pip install {package}") from error
        except ValueError as error:
            raise InvalidInput(f"{self!r} cannot be opened ({error}); use a path, s3:// or gs://") from error

    def _place(self, storage_id: str) -> str:
        return f"{self._root}/{checked_storage_id(storage_id)}"

    def begin(self, storage_id: str) -> Path:
        """A temporary folder."""
        return Path(tempfile.mkdtemp(prefix=f"checkpoint-{checked_storage_id(storage_id)}-"))

    def publish(self, storage_id: str, folder: Path, metadata: Mapping[str, Any]) -> dict[str, int]:
        """Upload the folder, then remove it."""
        resources = list_folder(folder)
        resources.pop(METADATA_FILE, None)
        self.upload(storage_id, folder, resources, metadata)
        self.abandon(folder)
        return resources

    def abandon(self, folder: Path) -> None:
        """Remove the temporary folder."""
        import shutil

        shutil.rmtree(folder, ignore_errors=True)

    def upload(self, storage_id: str, source: Path, names: Iterable[str], metadata: Mapping[str, Any]) -> None:
        """Upload the files, the metadata last; on failure take back what went up."""
        place = self._place(storage_id)
        files = [checked_relative(name) for name in names if not name.endswith("/")]
        try:
            if files:
                self._files.put([str(source / name) for name in files], [f"{place}/{name}" for name in files])
            text = json.dumps(metadata, indent=2, allow_nan=False)
            self._files.pipe_file(f"{place}/{METADATA_FILE}", text.encode())
        except BaseException:
            with contextlib.suppress(Exception):
                self._files.rm(place, recursive=True)
            raise

    def begin_shard(self, storage_id: str, rank: int) -> Path:
        """A temporary folder."""
        return self.begin(storage_id)

    def add_shard(self, storage_id: str, source: Path, names: Iterable[str], keep: bool) -> None:
        """Upload the files."""
        place = self._place(storage_id)
        files = [checked_relative(name) for name in names if not name.endswith("/")]
        if files:
            self._files.put([str(source / name) for name in files], [f"{place}/{name}" for name in files])

    def publish_shards(self, storage_id: str, resources: Mapping[str, int], metadata: Mapping[str, Any]) -> None:
        """Upload the metadata."""
        self.upload(storage_id, Path(), (), metadata)

    def abandon_shards(self, storage_id: str) -> None:
        """Take back what went up; without metadata it was no checkpoint yet."""
        with contextlib.suppress(Exception):
            place = self._place(storage_id)
            if not self._files.exists(f"{place}/{METADATA_FILE}"):
                self._files.rm(place, recursive=True)

    def contents(self, storage_id: str) -> dict[str, int]:
        """The objects, and the folders that their names make."""
        return self._list(self._place(storage_id), storage_id)

    def download(self, storage_id: str, target: Path, selector: Selector | None = None) -> None:
        """Download the wanted files."""
        place = self._place(storage_id)
        wanted = select(self._list(place, storage_id), selector)
        target.mkdir(parents=True, exist_ok=True)
        for name in wanted:
            folder = target / (name if name.endswith("/") else posixpath.dirname(name))
            folder.mkdir(parents=True, exist_ok=True)
        files = [name for name in wanted if not name.endswith("/")]
        if files:
            self._files.get([f"{place}/{name}" for name in files], [str(target / name) for name in files])

    def _list(self, place: str, storage_id: str) -> dict[str, int]:
        self._files.invalidate_cache()
        found = self._files.find(place, detail=True)
        if not found:
            raise NotFound(f"there is no checkpoint {storage_id} in {self!r}; see `det checkpoint describe`")
        start = len(self._files._strip_protocol(place).strip("/")) + 1
        resources: dict[str, int] = {}
        for path, entry in sorted(found.items()):
            name = checked_relative(path.strip("/")[start:])
            for count in range(1, name.count("/") + 1):
                resources["/".join(name.split("/")[:count]) + "/"] = 0
            # Other clients mark a folder by an empty object.
            is_folder = entry.get("type") == "directory" or path.endswith("/")
            resources[name + "/" if is_folder else name] = 0 if is_folder else int(entry.get("size") or 0)
        return resources

    @contextlib.contextmanager
    def open(self, storage_id: str, selector: Selector | None = None) -> Iterator[Path]:
        """A temporary copy, removed afterwards."""
        folder = self.begin(storage_id)
        try:
            self.download(storage_id, folder, selector)
            yield folder
        finally:
            self.abandon(folder)

    def delete(self, storage_id: str) -> None:
        """Delete the objects."""
        try:
            self._files.rm(self._place(storage_id), recursive=True)
        except FileNotFoundError:
            logger.info("checkpoint %s is not in %r; nothing to delete", storage_id, self)

    def put(self, source: Path, name: str) -> None:
        """Upload one file."""
        self._files.put_file(str(source), f"{self._root}/{checked_relative(name)}")

    def probe(self) -> None:
        """Try one small object."""
        name = f"{self._root}/probe-{os.getpid()}-{uuid.uuid4()}"
        self._files.pipe_file(name, name.encode())
        try:
            if self._files.cat_file(name) != name.encode():
                raise StorageFailed(f"{self!r} gave back other bytes than were written; check the bucket")
        finally:
            self._files.rm_file(name)

    def discard_partial(self) -> None:
        """Do nothing: unfinished checkpoints lie in temporary folders of the host."""
