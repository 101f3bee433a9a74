"""Checkpoints as objects: ``<root>/<uuid>/<files>``, whole when ``metadata.json`` is there.

There is no rename. Before the first file of a checkpoint goes up, a note under ``.partial/<owner>/<uuid>`` says that
it is begun; after the master knows the checkpoint, the note goes. So whatever a dead process leaves is found by its
note: without ``metadata.json`` the next run of the same owner removes it; what is whole, but was never registered, the
master removes at the end of the experiment, when nobody can register it any more.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from determined.common.objects.names import METADATA_FILE, checked_storage_id, is_storage_id
from determined.common.objects.store import ObjectStore
from determined.common.objects.transfer import run_all
from determined.errors import NotFound, StorageFailed
from determined.files import action
from determined.steps import step

NOTES = ".partial"
_CLEAN_UP_S = 5.0


class ObjectCheckpoints:
    """The checkpoints in one object store.

    Args:
        store: where.
        owner: under which the beginning of an upload is noted: path components, from the widest to the narrowest.
    """

    def __init__(self, store: ObjectStore, owner: str = "local") -> None:
        self.store = store
        self._owner = owner

    def _note(self, storage_id: str) -> str:
        return f"{NOTES}/{self._owner}/{checked_storage_id(storage_id)}"

    def upload(self, storage_id: str, source: Path, names: Iterable[str], metadata: bytes) -> None:
        """Upload files, then the metadata. On failure what went up is taken back, if that can be."""
        try:
            self.add(storage_id, source, names)
            self._complete(storage_id, metadata)
        except BaseException:
            with contextlib.suppress(Exception):
                self._promptly().discard(storage_id)
            raise

    def add(self, storage_id: str, source: Path, names: Iterable[str]) -> None:
        """Upload files of a checkpoint that is not whole yet; several processes may do so at once."""
        with action("checkpoint.note"):
            self.store.write(self._note(storage_id), storage_id.encode())
        self.store.upload(source, names, storage_id, lambda _: step("checkpoint.object.after"))

    def complete(self, storage_id: str, sizes: Mapping[str, int], metadata: bytes) -> None:
        """Upload the metadata of a checkpoint whose files were added.

        Args:
            sizes: of the files, in bytes; names that end with ``/`` are folders, which do not count.
        Raises:
            StorageFailed: a file is missing or of another size.
        """
        wanted = {name: size for name, size in sizes.items() if not name.endswith("/")}
        found = self.store.sizes(checked_storage_id(storage_id)) if wanted else {}
        missing = sorted(name for name, size in wanted.items() if found.get(name) != size)
        if missing:
            raise StorageFailed(
                f"{', '.join(missing[:5])} of checkpoint {storage_id} did not arrive in {self.store!r} as written"
            )
        self._complete(storage_id, metadata)

    def _complete(self, storage_id: str, metadata: bytes) -> None:
        with action("checkpoint.metadata"):
            self.store.write(f"{storage_id}/{METADATA_FILE}", metadata)

    def abandon(self, storage_id: str) -> None:
        """Take back what was added, unless it is whole."""
        store = self._promptly()
        if METADATA_FILE not in store.store.sizes(checked_storage_id(storage_id)):
            store.discard(storage_id)

    def discard(self, storage_id: str) -> None:
        """Remove a checkpoint and the note of its beginning; repeating it changes nothing."""
        self._discard(self._note(storage_id))

    def _promptly(self) -> ObjectCheckpoints:
        return ObjectCheckpoints(self.store.patient(_CLEAN_UP_S), self._owner)

    def confirm(self, storage_id: str) -> None:
        """The master knows the checkpoint: drop the note of its beginning."""
        with action("checkpoint.confirm"):
            self.store.remove(self._note(storage_id))

    def sizes(self, storage_id: str) -> dict[str, int]:
        """What a checkpoint holds, with ``metadata.json``.

        Raises:
            NotFound: there is nothing of that name.
        """
        found = self.store.sizes(checked_storage_id(storage_id))
        if not found:
            raise NotFound(f"there is no checkpoint {storage_id} in {self.store!r}; see `det checkpoint describe`")
        return found

    def remove(self, storage_ids: Sequence[str]) -> None:
        """Remove checkpoints; those that are not there are ignored."""
        run_all([functools.partial(self._remove, checked_storage_id(one)) for one in storage_ids])

    def _remove(self, storage_id: str) -> None:
        # First what makes it whole: a checkpoint that is half removed must not look like one.
        self.store.remove(f"{storage_id}/{METADATA_FILE}")
        self.store.remove_folder(storage_id)

    def discard_unfinished(self) -> None:
        """Remove what earlier runs of this owner began and did not make whole. None of them may be alive."""
        for note in self._notes():
            if METADATA_FILE not in self.store.sizes(_id_of(note)):
                self._discard(note)

    def collect_unfinished(self, registered: Collection[str]) -> None:
        """Remove what runs of this owner began and nobody registered. None of them may be alive."""
        for note in self._notes():
            if _id_of(note) in registered:
                self.store.remove(note)
            else:
                self._discard(note)

    def _notes(self) -> list[str]:
        folder = f"{NOTES}/{self._owner}"
        names = self.store.sizes(folder)
        return [f"{folder}/{name}" for name in names if not name.endswith("/") and is_storage_id(_id_of(name))]

    def _discard(self, note: str) -> None:
        with action("checkpoint.discard"):
            self._remove(_id_of(note))
            self.store.abort_parts(_id_of(note))
            # Last, so that whoever dies on the way is followed by somebody who finds it again.
            self.store.remove(note)


def _id_of(note: str) -> str:
    return note.rpartition("/")[2]
