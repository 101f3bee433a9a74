"""Changes of files that last: when one of these functions returns, its change is on the disk, and whole.

The small process beside each run imports this, so it needs nothing but cheap parts of the standard library.
"""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: str | os.PathLike[str]) -> None:
    """Wait until a file's bytes, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path, mode: int = 0o777) -> None:
    """Make a folder and its missing parents; ``mode`` is that of the folder itself. One that is there stays as it is.

    Raises:
        FileExistsError: the path names something that is no folder.
    """
    if path.is_dir():
        return
    if not path.parent.is_dir():
        make_folder(path.parent)
    path.mkdir(mode=mode, exist_ok=True)
    sync(path.parent)


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Give a file a new content at once: readers see the old bytes or the new ones, also after a power failure."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)
    sync(path.parent)
