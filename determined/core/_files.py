"""Folders of checkpoint files: what is in them, names that stay inside, and making them durable."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from determined.common.objects.names import METADATA_FILE, checked_relative, checked_storage_id
from determined.errors import InvalidInput, NotFound
from determined.files import sync

__all__ = [
    "METADATA_FILE",
    "Selector",
    "as_json",
    "checked_relative",
    "checked_storage_id",
    "copy_into",
    "list_folder",
    "select",
    "sync_tree",
]

Selector = Callable[[str], bool]
"""Says whether a path, relative to the checkpoint and with "/" at the end of folders, is wanted."""


def list_folder(root: str | os.PathLike[str]) -> dict[str, int]:
    """Relative path -> size in bytes, parents first; folders end in "/" and have size 0. Links are followed.

    Raises:
        NotFound: there is no such folder.
        InvalidInput: not a folder, a broken link, a link to a folder around it, or a special file.
    """
    top = Path(root)
    if not top.exists():
        raise NotFound(f"there is no folder {top}; write the checkpoint before uploading it")
    if not top.is_dir():
        raise InvalidInput(f"{top} is a file; give the folder that holds the checkpoint's files")
    return dict(_walk(top, "", (_identity(top.stat()),)))


def _walk(folder: Path, prefix: str, around: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, int]]:
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        try:
            status = entry.stat()
        except OSError as error:
            raise InvalidInput(f"{entry.path} cannot be read ({error.strerror}); remove it first") from error
        if stat.S_ISREG(status.st_mode):
            yield prefix + entry.name, status.st_size
        elif stat.S_ISDIR(status.st_mode):
            if _identity(status) in around:
                raise InvalidInput(f"{entry.path} links to a folder around it; remove the link first")
            yield f"{prefix}{entry.name}/", 0
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", (*around, _identity(status)))
        else:
            raise InvalidInput(f"{entry.path} is no file and no folder (a pipe or device); remove it first")


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def select(resources: Mapping[str, int], selector: Selector | None) -> dict[str, int]:
    """The wanted part of ``resources``, together with the folders that lead to it."""
    if selector is None:
        return dict(resources)
    wanted = {name for name in resources if selector(name)}
    wanted |= {parent for name in wanted for parent in _parents(name)}
    return {name: size for name, size in resources.items() if name in wanted}


def _parents(name: str) -> Iterator[str]:
    parts = name.rstrip("/").split("/")
    for count in range(1, len(parts)):
        yield "/".join(parts[:count]) + "/"


def copy_into(source: Path, target: Path, names: Iterable[str]) -> None:
    """Copy the named files and folders of ``source`` to the same places under ``target``, which may exist."""
    import shutil

    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        place = target / checked_relative(name)
        if name.endswith("/"):
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / name, place)


def move_into(source: Path, target: Path, names: Iterable[str]) -> None:
    """Move the named files to the same places under ``target``, on the same file system; what is linked is copied."""
    top = source.resolve()
    for name in names:
        place = target / checked_relative(name)
        if name.endswith("/"):
            place.mkdir(parents=True, exist_ok=True)
        elif (source / name).resolve() == top / name:
            (source / name).rename(place)
        else:
            copy_into(source, target, [name])


def as_json(value: Any) -> bytes:
    """``value`` as JSON for people."""
    return json.dumps(value, indent=2, allow_nan=False).encode()


def sync_tree(root: Path, names: Iterable[str]) -> None:
    """Wait until the named files and folders of ``root``, and ``root`` itself, are on the disk."""
    for name in names:
        sync(root / name)
    sync(root)
