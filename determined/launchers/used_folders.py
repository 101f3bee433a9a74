"""Folders of ended runs, for later runs of the same model definition: to move one takes less than to make one.

A run gets one only if its working folder holds exactly what was unpacked into it: what the run before has added there
is deleted, and where that has changed anything, or has left something beside the working folder, all of it. For small
model definitions, whose content is kept in memory. Blocking.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from determined import files
from determined.files import action
from determined.launchers import context, paths
from determined.launchers.deleting import delete_tree

MOST_KEPT = 8
_KEPT_S = 600.0
"""After which a folder is deleted where it could have been given to a run: others may clear away what is old."""
_MOST_FILES = 64
_MOST_BYTES = 1 << 18
_FILE = stat.S_IFREG | 0o600
_FOLDER = stat.S_IFDIR | 0o700
ContextKey = tuple[str, int, int, int] | None
"""Names a model definition as it is now; None for a run without one."""
_Entry = tuple[int, int, bytes]
"""Type and mode of a file, folder or link; when it was changed last, for a file; its content."""
_Content = Mapping[str, _Entry]
_Stamps = Mapping[str, tuple[int, int]]
"""Number of each file, folder or link, and when the system last saw it change, which no program can choose."""
_SURE_NS = 100_000_000
"""Age from which on a later change is sure to get another stamp: the clock of a file system is a coarse one."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A folder that waits for a run; ``since`` is a time of the monotonic clock."""

    key: ContextKey
    path: Path
    stamps: _Stamps
    since: float


class UsedFolders:
    """Scratch folders of the runs of one launcher. Call it from any thread."""

    def __init__(self, runs: Path) -> None:
        """Nothing is touched.

        Args:
            runs: the folder of the runs' folders.
        """
        self._place = runs / paths.USED
        self._lock = threading.Lock()
        self._contents: dict[ContextKey, _Content] = {}
        self._made_from: dict[Path, tuple[ContextKey, _Stamps]] = {}
        self._kept: list[_Kept] = []
        self._number = 0

    def make(self, folder: Path, archive: Path | None) -> ContextKey:
        """Make a run's scratch folder with the model definition in it; its info files hold nothing yet.

        Returns:
            What tells this model definition from all others.
        Raises:
            InvalidContext: the archive cannot be used.
            OSError: it cannot be opened, or the disk refuses.
        """
        scratch = folder / paths.SCRATCH
        key = _key(archive)
        stamps = self._reuse(key, scratch)
        if stamps is not None:
            with self._lock:
                self._made_from[folder] = key, stamps
            return key
        with action("launcher.folders"):
            for path in (scratch, folder / paths.WORK, folder / paths.INFO):
                path.mkdir(mode=0o700)
        if archive is not None:
            with action("launcher.unpack"):
                context.unpack(archive, folder / paths.WORK)
        if sys.platform != "linux":
            # Elsewhere a process of the run may be left.
            return key
        with self._lock:
            content = self._contents.get(key) or _content(folder / paths.WORK)
            if content is not None:
                self._contents.pop(key, None)
                self._contents[key] = content
                while len(self._contents) > MOST_KEPT:
                    del self._contents[next(iter(self._contents))]
                self._made_from[folder] = key, {}
        return key

    def forget(self, folder: Path) -> None:
        """Somebody is about to delete a run's folder, whose scratch folder is not to be kept."""
        with self._lock:
            self._made_from.pop(folder, None)

    def give_back(self, folder: Path) -> None:
        """Keep the scratch folder of a run that is over, if another run cannot tell it from a new one."""
        scratch = folder / paths.SCRATCH
        with self._lock:
            key, stamps = self._made_from.pop(folder, (None, None))
            content = None if stamps is None else self._contents.get(key)
        if content is not None and stamps is not None:
            with contextlib.suppress(OSError):
                found = _restore(scratch, content, stamps)
                if found is not None:
                    self._keep(key, scratch, found)

    def clear(self) -> None:
        """Delete all of them, also those that another process has left."""
        with self._lock:
            self._kept.clear()
        delete_tree(self._place)

    def _reuse(self, key: ContextKey, scratch: Path) -> _Stamps | None:
        """Move a kept folder to its place; None if there is none."""
        while True:
            with self._lock:
                at = next((at for at, kept in enumerate(self._kept) if kept.key == key), None)
                if at is None:
                    return None
                kept = self._kept.pop(at)
            if time.monotonic() - kept.since < _KEPT_S:
                with contextlib.suppress(OSError), action("launcher.reuse"):
                    kept.path.rename(scratch)
                    return kept.stamps
            delete_tree(kept.path)

    def _keep(self, key: ContextKey, scratch: Path, stamps: _Stamps) -> None:
        with self._lock:
            self._number += 1
            place = self._place / str(self._number)
            oldest = self._kept.pop(0).path if len(self._kept) == MOST_KEPT else None
        if not self._place.exists():
            with action("launcher.used"):
                self._place.mkdir(mode=0o700, exist_ok=True)
        with action("launcher.keep"):
            scratch.rename(place)
        with self._lock:
            self._kept.append(_Kept(key, place, stamps, time.monotonic()))
        if oldest is not None:
            delete_tree(oldest)


def _key(archive: Path | None) -> ContextKey:
    if archive is None:
        return None
    status = archive.stat()
    return str(archive), status.st_ino, status.st_size, status.st_mtime_ns


def _listed(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in list(entries):
            yield entry.path, entry.stat(follow_symlinks=False)


def _delete(path: str, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        delete_tree(Path(path))
    else:
        files.remove(Path(path), "launcher.trim")


def _walked(folder: Path, below: str = "") -> Iterator[tuple[str, str, os.stat_result]]:
    """Name, path and status of all that is in a folder, those of a folder before what is in it."""
    for path, status in _listed(folder):
        name = below + os.path.basename(path)  # noqa: PTH119
        yield name, path, status
        # Whoever is given it may have deleted it.
        if stat.S_ISDIR(status.st_mode) and os.path.isdir(path):  # noqa: PTH112
            yield from _walked(Path(path), f"{name}/")


def _entry(path: str, status: os.stat_result) -> _Entry:
    if stat.S_ISLNK(status.st_mode):
        return status.st_mode, 0, os.fsencode(os.readlink(path))  # noqa: PTH115
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:  # noqa: PTH123
            return status.st_mode, status.st_mtime_ns, file.read()
    return status.st_mode, 0, b""


def _content(work: Path) -> _Content | None:
    """What is in a folder; None if it is too much."""
    found: dict[str, _Entry] = {}
    size = 0
    for name, path, status in _walked(work):
        size += status.st_size
        if size > _MOST_BYTES or len(found) == _MOST_FILES:
            return None
        found[name] = _entry(path, status)
    return found


def _restore(scratch: Path, content: _Content, stamps: _Stamps) -> _Stamps | None:
    """Delete what belongs to the run before; None if the rest is not as if no run had been there.

    Args:
        stamps: of what was seen to be as unpacked; what still has the same need not be looked at.
    Returns:
        The stamps now.
    """
    work, info, spec = (scratch / Path(name).name for name in (paths.WORK, paths.INFO, paths.SPEC))
    if not all(map(_is_own_folder, (scratch, work, info))):
        return None
    if {path for path, _ in _listed(scratch)} - {str(work), str(info), str(spec)}:
        return None
    for path, status in (*_listed(info), (str(spec), spec.lstat())):
        if not _is_plain(path, status, _FILE) or status.st_size > _MOST_BYTES:
            return None
        files.fill_file(Path(path), b"\0" * status.st_size, "launcher.wipe", 0o600)
    left = dict(content)
    found: dict[str, tuple[int, int]] = {}
    now_ns = time.time_ns()
    for name, path, status in _walked(work):
        expected = left.pop(name, None)
        stamp = status.st_ino, status.st_ctime_ns
        if expected is None:
            _delete(path, status)
        elif stamp != stamps.get(name) and not _is_same(path, status, expected):
            return None
        elif now_ns - status.st_ctime_ns > _SURE_NS:
            found[name] = stamp
    return None if left else found


def _is_own_folder(path: Path) -> bool:
    """Whether it is a folder, and no link to one, as it was made."""
    return _is_plain(str(path), path.lstat(), _FOLDER)


def _is_plain(path: str, status: os.stat_result, mode: int) -> bool:
    """Whether it has this type and mode, and no second name or attribute by which it is, or does, something else."""
    if status.st_mode != mode or (stat.S_ISREG(mode) and status.st_nlink != 1):
        return False
    return all(name.startswith("security.") for name in os.listxattr(path, follow_symlinks=False))


def _is_same(path: str, status: os.stat_result, expected: _Entry) -> bool:
    """Whether a file is what it was; the cheap questions first, since it may be anything now."""
    mode, _, data = expected
    if not _is_plain(path, status, mode) or (stat.S_ISREG(mode) and status.st_size != len(data)):
        return False
    return _entry(path, status) == expected
