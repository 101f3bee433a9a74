"""Fetches the files of checkpoints: into a folder that is complete or not there."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

from determined.common.api.errors import BadRequestException
from determined.common.api.session import Session, segment
from determined.errors import CorruptState, InvalidInput, Unavailable
from determined.experimental.download import DownloadMode

_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "abfs": "adlfs"}


def fetch(session: Session, uuid: str, storage: Mapping[str, Any], folder: Path, mode: DownloadMode) -> None:
    """Put the files of a checkpoint into ``folder``.

    Args:
        storage: the ``checkpoint_storage`` section of the experiment's configuration.
        folder: new, or empty.
    Raises:
        InvalidInput: the folder holds something else.
        Unavailable: the files cannot be reached that way.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(f"{folder} exists and holds no checkpoint; name a new or an empty folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        target = Path(temporary, "files")
        _fetch(session, uuid, storage, target, mode)
        if folder.exists():
            folder.rmdir()
        target.rename(folder)


def _fetch(session: Session, uuid: str, storage: Mapping[str, Any], target: Path, mode: DownloadMode) -> None:
    if mode is DownloadMode.MASTER:
        return _from_master(session, uuid, target)
    try:
        return _from_storage(uuid, storage, target)
    except Unavailable as direct:
        if mode is DownloadMode.DIRECT:
            raise
        shutil.rmtree(target, ignore_errors=True)
        try:
            return _from_master(session, uuid, target)
        except BadRequestException as error:
            raise Unavailable(
                f"checkpoint {uuid} can be had neither from its storage ({direct}) nor from the master ({error})"
            ) from error


def _from_storage(uuid: str, storage: Mapping[str, Any], target: Path) -> None:
    if "/" in uuid or uuid in ("", ".", ".."):
        raise InvalidInput(f"{uuid!r} is not the uuid of a checkpoint")
    kind = storage.get("type")
    if kind == "shared_fs":
        source = shared_fs_root(storage) / uuid
        if not source.is_dir():
            raise Unavailable(
                f"there is no {source} on this machine; mount the shared file system of the experiment here, or use"
                " the mode 'master'"
            )
        shutil.copytree(source, target, symlinks=True)
        return
    protocol, root, options = _object_store(storage)
    try:
        import fsspec

        fsspec.filesystem(protocol, **options).get(f"{root}/{uuid}/", f"{target}/", recursive=True)
    except ImportError as error:
        raise Unavailable(f"{kind} storage needs the package {_PACKAGES[protocol]}; install it") from error
    except Exception as error:  # every store has exceptions of its own
        raise Unavailable(f"checkpoint {uuid} cannot be read from {protocol}://{root}: {error}") from error


def shared_fs_root(storage: Mapping[str, Any]) -> Path:
    """The folder of all checkpoints of a ``shared_fs`` storage."""
    # An absolute storage_path replaces what is before it.
    return Path(storage["host_path"], storage.get("storage_path") or "")


def _object_store(storage: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Protocol, root and options for fsspec."""
    kind = storage.get("type")
    bucket = storage.get("container" if kind == "azure" else "bucket") or ""
    root = f"{bucket}/{str(storage.get('prefix') or '').strip('/')}".rstrip("/")
    names = {
        "s3": ("s3", {"access_key": "key", "secret_key": "secret", "endpoint_url": "endpoint_url"}),
        "gcs": ("gs", {}),
        "azure": (
            "abfs",
            {"connection_string": "connection_string", "account_url": "account_host", "credential": "credential"},
        ),
    }
    if kind not in names:
        raise Unavailable(f"checkpoint storage of type {kind!r} cannot be read from here")
    protocol, options = names[kind]
    return protocol, root, {ours: storage[theirs] for theirs, ours in options.items() if storage.get(theirs)}


def _from_master(session: Session, uuid: str, target: Path) -> None:
    blocks = session.blocks(f"/checkpoints/{segment(uuid)}", accept="application/gzip")
    target.mkdir()
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", _Reader(blocks)), mode="r|gz") as archive:
            archive.extractall(target, filter="data")
    except (tarfile.TarError, EOFError) as error:
        raise CorruptState(f"the master sent checkpoint {uuid} in a form that cannot be unpacked: {error}") from error
    finally:
        blocks.close()


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
