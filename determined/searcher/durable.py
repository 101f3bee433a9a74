"""The only place where a search runner changes its files: each change is whole or absent, and lasts once made.

Every function takes the name of its step and passes ``<name>.before``, ``<name>.half`` (while bytes are written)
and ``<name>.after``, so that a test can stop the process at each of these points.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from determined import steps
from determined.files import make_folder as make_folders
from determined.files import sync as bring_to_disk
from determined.steps import step


@contextmanager
def action(name: str) -> Iterator[None]:
    """Mark the points before and after one change."""
    step(f"{name}.before")
    yield
    step(f"{name}.after")


def make_folder(path: Path, name: str) -> None:
    """Create a folder, and its parents where they are missing."""
    if not path.is_dir():
        with action(name):
            make_folders(path)


def write_file(path: Path, data: bytes, name: str, sync: bool = True) -> None:
    """Create a new file with these bytes, by default on disk when this returns; its folder is not synced."""
    with action(name), path.open("wb") as f:
        _write(f.fileno(), data, name)
        if sync:
            os.fsync(f.fileno())


def replace_file(path: Path, data: bytes, name: str, sync: bool = True) -> None:
    """Give a file a new content at once: readers see the old bytes or the new ones, never a mixture.

    Args:
        sync: False for a file that nothing depends on, which may then be stale or empty after a power failure.
    """
    temporary = path.with_name(f".{path.name}.new")
    write_file(temporary, data, f"{name}.write", sync)
    with action(f"{name}.rename"):
        temporary.replace(path)
    if sync:
        with action(f"{name}.sync"):
            bring_to_disk(path.parent)


def append(path: Path, length: int, data: bytes, name: str) -> None:
    """Put bytes after the first ``length`` bytes of a file; whatever stood there is cut off first."""
    with action(name), path.open("ab") as f:
        f.truncate(length)
        _write(f.fileno(), data, name)
        os.fsync(f.fileno())


def move(source: Path, target: Path, name: str) -> None:
    """Rename within one folder; the target must not exist."""
    with action(f"{name}.rename"):
        source.rename(target)
    with action(f"{name}.sync"):
        bring_to_disk(target.parent)


def remove(path: Path, name: str) -> None:
    """Remove a file or a whole folder, if it is there."""
    with action(name):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def sync_tree(folder: Path, name: str) -> None:
    """Bring every file and folder below a folder to the disk, and the folder itself."""
    with action(name):
        for root, _, files in os.walk(folder):
            for file in files:
                bring_to_disk(Path(root, file))
            bring_to_disk(Path(root))


def _write(fd: int, data: bytes, name: str) -> None:
    if steps.hook is not None and len(data) > 1:
        half = len(data) // 2
        _write_all(fd, data[:half])
        step(f"{name}.half")
        data = data[half:]
    _write_all(fd, data)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
