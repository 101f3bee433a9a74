"""The only place that changes files which must last: each change is whole or absent, and on the disk once made.

Every function takes the name of its step and passes ``<name>.before``, ``<name>.half`` (while bytes are written)
and ``<name>.after``, so that a test can stop the process at each of these points.

The small process beside each run imports this, so it needs nothing but cheap parts of the standard library.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from determined import steps
from determined.steps import step

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

one_by_one = False
"""Whether what could wait for the disk together does so in a fixed order, for those who record it."""
_pool: ThreadPoolExecutor | None = None
_MOST_SYNCS = 8


@contextmanager
def action(name: str) -> Iterator[None]:
    """Mark the points before and after one change."""
    step(f"{name}.before")
    yield
    step(f"{name}.after")


def sync(path: str | os.PathLike[str]) -> None:
    """Wait until a file's bytes, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_all(paths: Sequence[str | os.PathLike[str]]) -> None:
    """Wait until several files and folders are on the disk, in no order.

    A file system brings all that it is asked for at the same time to the disk at once, so that this takes hardly longer
    than a single one.
    """
    if len(paths) < 2 or one_by_one:
        for path in paths:
            sync(path)
        return
    others = _waiting_pool().map(sync, paths[1:])
    # To wake a thread takes about as long as a fast disk.
    sync(paths[0])
    for _ in others:
        pass


def _waiting_pool() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        from concurrent.futures import ThreadPoolExecutor

        # A process that is forked from this one has no threads.
        os.register_at_fork(after_in_child=_forget_pool)
        _pool = ThreadPoolExecutor(_MOST_SYNCS, "determined-sync")
    return _pool


def _forget_pool() -> None:
    global _pool
    _pool = None


def settle(folder: Path) -> None:
    """Wait until the names in a folder, its own and its parents' are on the disk.

    A process that died may have left them between a change and its sync. Whoever goes on from what it left, or tells
    others of it, does this first: after a power failure it could be gone.
    """
    place = folder.resolve()
    # Where nothing of ours can have got a name there is nothing to wait for.
    while os.access(place, os.R_OK | os.W_OK):
        sync(place)
        if place.is_mount():
            break
        place = place.parent


def make_folder(path: Path, name: str, mode: int = 0o777) -> None:
    """Make a folder and its missing parents; ``mode`` is that of the folder itself. One that is there stays as it is.

    Raises:
        FileExistsError: the path names something that is no folder.
    """
    if path.is_dir():
        return
    if not path.parent.is_dir():
        make_folder(path.parent, name)
    with action(name):
        path.mkdir(mode=mode, exist_ok=True)
        sync(path.parent)


def write_file(path: Path, data: bytes, name: str, mode: int = 0o666, sync: bool = True) -> None:
    """Write a new file that nobody reads before it is whole; by default its bytes are on disk when this returns.

    Its name is not: sync its folder, or rename it.
    """
    with action(name):
        # What a dead process left would keep its mode, and might be a link that somebody else put there.
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            _write(descriptor, data, name)
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def fill_file(path: Path, data: bytes, name: str, mode: int = 0o666) -> None:
    """Write a file in place, whatever it held; for files that nobody reads before they are whole, and nothing needs."""
    with action(name):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, mode)
        try:
            _write(descriptor, data, name)
            # To give back its place on the disk and take another one would cost more than to write.
            if os.fstat(descriptor).st_size > len(data):
                os.ftruncate(descriptor, len(data))
        finally:
            os.close(descriptor)


def echo(path: Path, data: bytes, name: str, mode: int = 0o666) -> bytes:
    """Write a file that always holds the same, and read it again; several may do so at once. It is made if need be.

    Returns:
        The bytes that were read.
    """
    with action(name):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, mode)
        try:
            _write(descriptor, data, name)
            return os.pread(descriptor, len(data), 0)
        finally:
            os.close(descriptor)


def replace_file(path: Path, data: bytes, name: str, mode: int = 0o666, sync: bool = True) -> None:
    """Give a file a new content at once: readers see the old bytes or the new ones, also after a power failure.

    One writer at a time.

    Args:
        sync: False for a file that nothing depends on, which may then be stale or empty after a power failure.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        write_file(temporary, data, f"{name}.write", mode, sync)
        with action(f"{name}.rename"):
            temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    if sync:
        with action(f"{name}.sync"):
            _sync(path.parent)


def append(path: Path, length: int, data: bytes, name: str, sync: bool = False) -> None:
    """Put bytes after the first ``length`` bytes of a file; whatever stood there is cut off first.

    Args:
        sync: whether they are on the disk when this returns; if not, sync the file.
    """
    with action(name):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            if os.fstat(descriptor).st_size != length:
                os.ftruncate(descriptor, length)
            _write(descriptor, data, name)
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def move(source: Path, target: Path, name: str) -> None:
    """Rename within one file system; the target must not exist."""
    with action(f"{name}.rename"):
        source.rename(target)
    with action(f"{name}.sync"):
        sync(target.parent)


def remove(path: Path, name: str) -> None:
    """Remove a file or a whole folder, if it is there."""
    with action(name):
        if path.is_dir() and not path.is_symlink():
            import shutil

            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def sync_tree(folder: Path, name: str, beside: Sequence[Path] = ()) -> None:
    """Bring every file and folder below a folder to the disk, and the folder itself.

    Args:
        beside: files elsewhere, for which to wait at the same time.
    """
    with action(name):
        found: list[Path] = [*beside]
        for root, _, files in os.walk(folder):
            found += [*(Path(root, file) for file in files), Path(root)]
        sync_all(found)


_sync = sync


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
