"""Checkpoints in an object store: written to a temporary folder, uploaded, and only then told to the master.

Empty folders do not exist in an object store and are not kept.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from determined.common.objects.checkpoints import ObjectCheckpoints
from determined.common.objects.place import Place
from determined.common.objects.store import PATIENCE_S, ObjectStore
from determined.core._files import (
    METADATA_FILE,
    Selector,
    as_json,
    checked_relative,
    checked_storage_id,
    list_folder,
    select,
)
from determined.core._storage import Storage
from determined.errors import DeterminedError, NotFound, StorageFailed

logger = logging.getLogger("determined.core")

_PROBE_PATIENCE_S = 60.0
_CONFIRM_PATIENCE_S = 10.0


class RemoteStorage(Storage):
    """Checkpoints under one prefix of an object store.

    Args:
        place: where.
        owner: names the task whose unfinished checkpoints ``discard_partial`` may remove; path components.
        patience_s: how long a store that does not answer is tried again, in seconds.
    """

    def __init__(self, place: Place, owner: str = "local/local", patience_s: float = PATIENCE_S) -> None:
        self._store = ObjectStore(place, patience_s)
        self._owner = owner
        self._patience_s = patience_s
        self._checkpoints = ObjectCheckpoints(self._store, owner)
        self._scratch = f"checkpoint-{owner.replace('/', '_')}--"

    def __repr__(self) -> str:
        return repr(self._store)

    def begin(self, storage_id: str) -> Path:
        """A temporary folder of this host."""
        return Path(tempfile.mkdtemp(prefix=f"{self._scratch}{checked_storage_id(storage_id)}-"))

    def publish(self, storage_id: str, folder: Path, metadata: Mapping[str, Any]) -> dict[str, int]:
        """Upload the folder, then remove it."""
        resources = list_folder(folder)
        resources.pop(METADATA_FILE, None)
        self.upload(storage_id, folder, resources, metadata)
        self.abandon(folder)
        return resources

    def abandon(self, folder: Path) -> None:
        """Remove the temporary folder."""
        shutil.rmtree(folder, ignore_errors=True)

    def upload(self, storage_id: str, source: Path, names: Iterable[str], metadata: Mapping[str, Any]) -> None:
        """Upload the files, several at a time, the metadata last; on failure take back what went up."""
        files = [checked_relative(name) for name in names if not name.endswith("/")]
        self._checkpoints.upload(checked_storage_id(storage_id), source, files, as_json(metadata))

    def confirm(self, storage_id: str) -> None:
        """Drop the note that the upload was begun; if that fails, the master does it at the end of the experiment."""
        try:
            ObjectCheckpoints(self._store.patient(_CONFIRM_PATIENCE_S), self._owner).confirm(storage_id)
        except DeterminedError as error:
            logger.warning("checkpoint %s is stored, but the note of its upload stays for now (%s)", storage_id, error)

    def begin_shard(self, storage_id: str, rank: int) -> Path:
        """A temporary folder."""
        return self.begin(storage_id)

    def add_shard(self, storage_id: str, source: Path, names: Iterable[str], keep: bool) -> None:
        """Upload the files, several at a time."""
        files = [checked_relative(name) for name in names if not name.endswith("/")]
        self._checkpoints.add(checked_storage_id(storage_id), source, files)

    def publish_shards(self, storage_id: str, resources: Mapping[str, int], metadata: Mapping[str, Any]) -> None:
        """See that all is there, then upload the metadata."""
        self._checkpoints.complete(storage_id, resources, as_json(metadata))

    def abandon_shards(self, storage_id: str) -> None:
        """Take back what went up; without metadata it was no checkpoint yet."""
        with contextlib.suppress(DeterminedError):
            self._checkpoints.abandon(storage_id)

    def contents(self, storage_id: str) -> dict[str, int]:
        """The objects, and the folders that their names make."""
        return self._checkpoints.sizes(storage_id)

    def download(self, storage_id: str, target: Path, selector: Selector | None = None) -> None:
        """Download the wanted files, several at a time."""
        found = self._checkpoints.sizes(storage_id)
        if METADATA_FILE not in found:
            raise NotFound(
                f"checkpoint {storage_id} in {self!r} is not whole: it has no {METADATA_FILE}, which is uploaded last"
            )
        self._store.download(storage_id, select(found, selector), target)

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
        """Delete the objects, first that which makes them a checkpoint."""
        self._checkpoints.remove([storage_id])

    def put(self, source: Path, name: str) -> None:
        """Upload one file."""
        self._store.write_file(source, checked_relative(name))

    def probe(self) -> None:
        """Try one small object."""
        store, name = (
            self._store.patient(min(self._patience_s, _PROBE_PATIENCE_S)),
            f"probe-{os.getpid()}-{uuid.uuid4()}",
        )
        store.write(name, name.encode())
        try:
            if store.read(name) != name.encode():
                raise StorageFailed(f"{self!r} gave back other bytes than were written; check the bucket")
        finally:
            store.remove(name)

    def discard_partial(self) -> None:
        """Remove the owner's unfinished uploads, and what its runs left in temporary folders of this host."""
        for folder in Path(tempfile.gettempdir()).glob(f"{self._scratch}*"):
            self.abandon(folder)
        self._checkpoints.discard_unfinished()
