"""Fetches the files of checkpoints: into a folder that is complete or not there."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from determined.common.api.errors import BadRequestException
from determined.common.api.session import Session, segment
from determined.common.objects.checkpoints import ObjectCheckpoints
from determined.common.objects.names import is_storage_id
from determined.common.objects.place import KINDS, place_of
from determined.common.objects.store import ObjectStore
from determined.common.objects.transfer import Tally, Watcher
from determined.errors import CorruptState, DeterminedError, InvalidInput, Unavailable
from determined.experimental.download import DownloadMode

_PATIENCE_S = 30.0
"""How long an object store that does not answer is tried again."""


def fetch(
    session: Session,
    uuid: str,
    storage: Mapping[str, Any],
    folder: Path,
    mode: DownloadMode,
    sizes: Mapping[str, int],
    watch: Watcher | None = None,
) -> None:
    """Put the files of a checkpoint into ``folder``.

    Args:
        storage: the ``checkpoint_storage`` section of the experiment's configuration.
        folder: new, or empty.
        sizes: in bytes, of the files that were registered.
        watch: is told how far it is.
    Raises:
        InvalidInput: the folder holds something else.
        Unavailable: the files cannot be reached that way.
        CorruptState: the files are not those that were registered.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(f"{folder} exists and holds no checkpoint; name a new or an empty folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        target = Path(temporary, "files")
        _Fetch(session, uuid, storage, sizes, watch).fetch(target, mode)
        if folder.exists():
            folder.rmdir()
        target.rename(folder)


@dataclass(frozen=True, slots=True)
class _Fetch:
    session: Session
    uuid: str
    storage: Mapping[str, Any]
    sizes: Mapping[str, int]
    watch: Watcher | None

    def fetch(self, target: Path, mode: DownloadMode) -> None:
        if mode is DownloadMode.MASTER:
            return self._from_master(target)
        try:
            return self._from_storage(target)
        except Unavailable as direct:
            if mode is DownloadMode.DIRECT:
                raise
            shutil.rmtree(target, ignore_errors=True)
            try:
                return self._from_master(target)
            except BadRequestException as error:
                raise Unavailable(
                    f"checkpoint {self.uuid} can be had neither from its storage ({direct}) nor from the master"
                    f" ({error})"
                ) from error

    def _from_storage(self, target: Path) -> None:
        if not is_storage_id(self.uuid):
            raise InvalidInput(f"{self.uuid!r} is not the uuid of a checkpoint")
        kind = self.storage.get("type")
        if kind == "shared_fs":
            return self._from_folder(shared_fs_root(self.storage) / self.uuid, target)
        if kind not in KINDS:
            raise Unavailable(f"checkpoint storage of type {kind!r} cannot be read from here")
        checkpoints = ObjectCheckpoints(ObjectStore(place_of(self.storage), _PATIENCE_S))
        try:
            found = checkpoints.sizes(self.uuid)
            self._check(found, repr(checkpoints.store))
            checkpoints.store.download(self.uuid, found, target, self.watch)
        except CorruptState:
            raise
        except DeterminedError as error:
            raise Unavailable(f"checkpoint {self.uuid} cannot be read: {error}") from error

    def _check(self, found: Mapping[str, int], place: str) -> None:
        for name, size in self.sizes.items():
            if not name.endswith("/") and found.get(name) != size:
                there = f"has {found[name]} bytes" if name in found else "is missing"
                raise CorruptState(
                    f"checkpoint {self.uuid} in {place} is damaged: {name} {there}, and was stored with {size};"
                    " use another checkpoint"
                )

    def _from_folder(self, source: Path, target: Path) -> None:
        if not source.is_dir():
            raise Unavailable(
                f"there is no {source} on this machine; mount the shared file system of the experiment here, or use"
                " the mode 'master'"
            )
        files = {str(path): path.stat().st_size for path in source.rglob("*") if path.is_file()}
        tally = Tally(files, self.watch)

        def copy(one: str, other: str) -> None:
            shutil.copy2(one, other)
            if one in files:
                tally.add(one, files[one])

        shutil.copytree(source, target, symlinks=True, copy_function=copy)

    def _from_master(self, target: Path) -> None:
        blocks = self.session.blocks(f"/checkpoints/{segment(self.uuid)}", accept="application/gzip")
        tally = Tally({name: size for name, size in self.sizes.items() if not name.endswith("/")}, self.watch)

        def extracted(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
            if self.sizes.get(member.name) == member.size:
                tally.add(member.name, member.size)
            return tarfile.data_filter(member, path)

        target.mkdir()
        try:
            with tarfile.open(fileobj=cast("IO[bytes]", _Reader(blocks)), mode="r|gz") as archive:
                archive.extractall(target, filter=extracted)  # noqa: S202 - the filter is that for data
        except (tarfile.TarError, EOFError) as error:
            raise CorruptState(
                f"the master sent checkpoint {self.uuid} in a form that cannot be unpacked: {error}"
            ) from error
        finally:
            blocks.close()


def shared_fs_root(storage: Mapping[str, Any]) -> Path:
    """The folder of all checkpoints of a ``shared_fs`` storage."""
    # An absolute storage_path replaces what is before it.
    return Path(storage["host_path"], storage.get("storage_path") or "")


class _Reader:
    """A stream of blocks as the file that ``tarfile`` wants to read."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = b""

    def read(self, size: int) -> bytes:
        """Exactly ``size`` bytes, or what is left."""
        parts, missing = [self._rest[:size]], size - len(self._rest)
        self._rest = self._rest[size:]
        while missing > 0 and (block := next(self._blocks, b"")):
            parts.append(block[:missing])
            self._rest = block[missing:]
            missing -= len(block)
        return b"".join(parts)
