"""Checkpoints as one file to download."""

from __future__ import annotations

import asyncio
import tarfile
import tempfile
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from determined.domain.records import Experiment
from determined.errors import NotFound
from determined.master.api.sending import Chunks
from determined.master.service.checkpoint_files import fetch_files, is_local, local_folder

PIECE: Final = 1 << 20


async def packed_checkpoint(experiment: Experiment, uuid: str, *, as_zip: bool) -> Chunks:
    """The files of a checkpoint as an archive, wherever they lie.

    Raises:
        NotFound: they are not there.
        DeterminedError: the storage cannot be read from here.
    """
    storage: dict[str, Any] = msgspec.json.decode(experiment.config).get("checkpoint_storage") or {}
    if is_local(storage):
        return await packed(local_folder(storage, uuid), uuid, as_zip=as_zip)
    with tempfile.TemporaryDirectory(prefix="checkpoint-", ignore_cleanup_errors=True) as folder:
        await asyncio.to_thread(fetch_files, storage, uuid, Path(folder))
        return await packed(Path(folder), uuid, as_zip=as_zip)


async def packed(folder: Path, name: str, *, as_zip: bool) -> Chunks:
    """The files of a folder as an archive; links are left out.

    Raises:
        NotFound: there is no such folder.
    """
    if not await asyncio.to_thread(folder.is_dir):
        raise NotFound(f"the files of checkpoint {name} are gone from {folder}")
    file = await asyncio.to_thread(_write, folder, as_zip)
    kind, suffix = (b"application/zip", "zip") if as_zip else (b"application/gzip", "tar.gz")
    return Chunks(_pieces(file), kind, f"{name}.{suffix}")


def _write(folder: Path, as_zip: bool) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by who reads it
    try:
        if as_zip:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                for path in _members(folder):
                    archive.write(path, path.relative_to(folder).as_posix())
        else:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar:
                for path in _members(folder):
                    tar.add(path, path.relative_to(folder).as_posix(), recursive=False)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _members(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if not path.is_symlink() and (path.is_file() or path.is_dir()):
            yield path


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    try:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece
    finally:
        file.close()
