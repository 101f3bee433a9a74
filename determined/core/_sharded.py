"""Storing a checkpoint from the files of several processes, in stages that all of them pass together.

Each stage ends with all processes telling all others how it went, so that they go on or fail as one. Only after
everyone's files are in the storage is the checkpoint given its name, and only then does the master hear of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from determined.core._distributed import DistributedContext
from determined.core._files import METADATA_FILE, Selector, list_folder, select
from determined.core._shards import divide, merge_metadata, shared_names
from determined.core._storage import Storage
from determined.core._together import all_do, one_does
from determined.errors import FailedPrecondition

_WHAT = "storing a checkpoint"
_BLOCK = 1 << 20

Plain = Callable[[Any], dict[str, Any]]
Check = Callable[[Mapping[str, Any]], None]
Report = Callable[[str, Mapping[str, int], Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Shards:
    """How the processes of a trial store a checkpoint together.

    Args:
        dist: they.
        storage: where to.
        plain: makes JSON of one rank's metadata, or raises.
        check: raises when the merged metadata will not do.
        report: tells the master of the whole; called by the chief.
    """

    dist: DistributedContext
    storage: Storage
    plain: Plain
    check: Check
    report: Report

    @contextlib.contextmanager
    def store_path(self, metadata: Any) -> Iterator[tuple[Path, str]]:
        """A folder for each process; what is in them when all have left the block becomes one checkpoint."""
        storage_id = self._new_id()
        with self._nothing_left(storage_id):
            folder = self._begin(storage_id)
            try:
                yield folder, storage_id
                self._store(storage_id, folder, lambda: list_folder(folder), metadata, keep=False)
            finally:
                self.storage.abandon(folder)

    def upload(self, ckpt_dir: str | os.PathLike[str] | None, metadata: Any, selector: Selector | None) -> str:
        """Make one checkpoint of everyone's folder; those with None have no files."""
        if selector is not None and ckpt_dir is None:
            own: Exception | None = FailedPrecondition(
                "upload() was given a selector and no ckpt_dir; give both or none"
            )
        else:
            own = None
        storage_id = self._new_id()
        source = None if ckpt_dir is None else Path(ckpt_dir)
        places = self._all_do(lambda: _place(self.dist, source, selector, own))
        if all(place is None for place in places):
            raise FailedPrecondition(
                "upload(shard=True) was given ckpt_dir=None by all ranks; give the folder with the checkpoint by one"
            )
        # Several processes of a machine may name the same folder; the first of them stores it for all.
        is_first = places.index(places[self.dist.rank]) == self.dist.rank

        def resources() -> dict[str, int]:
            return {} if source is None or not is_first else select(list_folder(source), selector)

        with self._nothing_left(storage_id):
            self._store(storage_id, source, resources, metadata, keep=True)
        return storage_id

    def _store(
        self,
        storage_id: str,
        source: Path | None,
        resources: Callable[[], dict[str, int]],
        metadata: Any,
        *,
        keep: bool,
    ) -> None:
        rank = self.dist.rank
        found = self._all_do(lambda: (self.plain(metadata), _without_metadata(resources())))
        parts = [files for _, files in found]
        merged = merge_metadata([part for part, _ in found])
        self.check(merged)
        shared = [name for name, ranks in shared_names(parts).items() if rank in ranks]
        digests = self._all_do(lambda: _digests(source, shared)) if shared_names(parts) else [{} for _ in parts]
        own, whole = divide(parts, digests)
        self._all_do(lambda: None if source is None else self.storage.add_shard(storage_id, source, own[rank], keep))
        self._chief_does(lambda: self._complete(storage_id, whole, merged))

    def _complete(self, storage_id: str, resources: Mapping[str, int], metadata: Mapping[str, Any]) -> None:
        self.storage.publish_shards(storage_id, resources, metadata)
        self.report(storage_id, resources, metadata)
        self.storage.confirm(storage_id)

    @contextlib.contextmanager
    def _nothing_left(self, storage_id: str) -> Iterator[None]:
        try:
            yield
        except BaseException:
            if self.dist.rank == 0:
                self.storage.abandon_shards(storage_id)
            raise

    def _begin(self, storage_id: str) -> Path:
        made: list[Path] = []

        def begin() -> None:
            made.append(self.storage.begin_shard(storage_id, self.dist.rank))

        try:
            self._all_do(begin)
        except BaseException:
            for folder in made:
                self.storage.abandon(folder)
            raise
        return made[0]

    def _new_id(self) -> str:
        return str(self._chief_does(lambda: str(uuid.uuid4())))

    def _all_do(self, call: Callable[[], Any]) -> list[Any]:
        return all_do(self.dist.allgather, call, _WHAT)

    def _chief_does(self, call: Callable[[], Any]) -> Any:
        return one_does(self.dist.broadcast, self.dist.rank == 0, call, _WHAT)


def _place(dist: DistributedContext, source: Path | None, selector: Selector | None, trouble: Exception | None) -> Any:
    """What a folder is known by among all processes, so that one that several name is stored once."""
    if trouble is not None:
        raise trouble
    if source is None:
        return None
    if selector is not None:
        return dist.rank
    try:
        status = source.stat()
    except FileNotFoundError:
        return dist.rank
    return dist.cross_rank, status.st_dev, status.st_ino


def _without_metadata(resources: dict[str, int]) -> dict[str, int]:
    # It is ours to write, and may be left over from a checkpoint that was downloaded here.
    return {name: size for name, size in resources.items() if name != METADATA_FILE}


def _digests(source: Path | None, names: list[str]) -> dict[str, str]:
    if source is None:
        return {}
    return {name: _digest(source / name) for name in names if (source / name).is_file()}


def _digest(path: Path) -> str:
    made = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            made.update(block)
    return made.hexdigest()
