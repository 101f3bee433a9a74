"""Folders of ended runs, for later runs of the same model definition: to move one takes less than to make one.

A run gets one only if it holds exactly what was unpacked into it: what the run before has added is deleted, and where
that has changed anything, all of it. For small model definitions, whose content is kept in memory. Blocking.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from determined import files
from determined.files import action
from determined.launchers import context, paths
from determined.launchers.deleting import delete_tree

MOST_KEPT = 8
_MOST_FILES = 64
_MOST_BYTES = 1 << 18
_MODE = 0o600
_Key = tuple[str, int, int, int] | None
"""Names a model definition as it is now; None for a run without one."""
_Entry = tuple[int, int, bytes]
"""Type and mode of a file, folder or link; when it was changed last, for a file; its content."""
_Content = Mapping[str, _Entry]


class UsedFolders:
    """Scratch folders of the runs of one launcher. Call it from any thread."""

    def __init__(self, runs: Path) -> None:
        """Nothing is touched.

        Args:
            runs: the folder of the runs' folders.
        """
        self._place = runs / paths.USED
        self._lock = threading.Lock()
        self._contents: dict[_Key, _Content] = {}
        self._made_from: dict[Path, _Key] = {}
        self._kept: list[tuple[_Key, Path]] = []
        self._number = 0

    def make(self, folder: Path, archive: Path | None) -> None:
        """Make a run's scratch folder with the model definition in it; its info files are empty, or not there yet.

        Raises:
            InvalidContext: the archive cannot be used.
            OSError: it cannot be opened, or the disk refuses.
        """
        scratch = folder / paths.SCRATCH
        key = _key(archive)
        if (used := self._take(key)) is not None:
            with action("launcher.reuse"):
                used.rename(scratch)
            self._made_from[folder] = key
            return
        with action("launcher.folders"):
            for path in (scratch, folder / paths.WORK, folder / paths.INFO):
                path.mkdir(mode=0o700)
        if archive is not None:
            with action("launcher.unpack"):
                context.unpack(archive, folder / paths.WORK)
        if sys.platform != "linux":
            # Elsewhere a process of the run may be left.
            return
        with self._lock:
            content = self._contents.get(key) or _content(folder / paths.WORK)
            if content is not None:
                self._contents.pop(key, None)
                self._contents[key] = content
                while len(self._contents) > MOST_KEPT:
                    del self._contents[next(iter(self._contents))]
                self._made_from[folder] = key

    def give_back(self, folder: Path) -> None:
        """Take a scratch folder from a run that is over, its secrets wiped already."""
        scratch = folder / paths.SCRATCH
        with self._lock:
            is_known = folder in self._made_from
            key = self._made_from.pop(folder, None)
            content = self._contents.get(key) if is_known else None
        with contextlib.suppress(OSError):
            if content is not None and _restore(folder / paths.WORK, content):
                self._keep(key, scratch)
        delete_tree(scratch)

    def clear(self) -> None:
        """Delete all of them, also those that another process has left."""
        with self._lock:
            self._kept.clear()
        delete_tree(self._place)

    def _take(self, key: _Key) -> Path | None:
        with self._lock:
            for at, (other, path) in enumerate(self._kept):
                if other == key:
                    del self._kept[at]
                    return path
        return None

    def _keep(self, key: _Key, scratch: Path) -> None:
        with self._lock:
            self._number += 1
            place = self._place / str(self._number)
            oldest = self._kept.pop(0)[1] if len(self._kept) == MOST_KEPT else None
        if not self._place.exists():
            with action("launcher.used"):
                self._place.mkdir(mode=0o700, exist_ok=True)
        with action("launcher.keep"):
            scratch.rename(place)
        with self._lock:
            self._kept.append((key, place))
        if oldest is not None:
            delete_tree(oldest)


def wipe(folder: Path) -> None:
    """Leave nothing in the files of a folder that hold tokens; what is no plain file of ours is deleted. Quick."""
    for path, status in _listed(folder):
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and stat.S_IMODE(status.st_mode) == _MODE:
            with action("launcher.wipe"):
                os.truncate(path, 0)
        else:
            _delete(path, status)


def remove_empty(folder: Path) -> None:
    """Delete files without content."""
    for path, status in _listed(folder):
        if not status.st_size:
            _delete(path, status)


def _key(archive: Path | None) -> _Key:
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


def _restore(work: Path, content: _Content) -> bool:
    """Delete what does not belong in a folder; whether the rest is as it was."""
    if not stat.S_ISDIR(os.lstat(work).st_mode):
        return False
    left = dict(content)
    for name, path, status in _walked(work):
        expected = left.pop(name, None)
        if expected is None:
            _delete(path, status)
        elif not _is_same(path, status, expected):
            return False
    return not left


def _is_same(path: str, status: os.stat_result, expected: _Entry) -> bool:
    """Whether a file is what it was; the cheap questions first, since it may be anything now."""
    mode, _, data = expected
    if status.st_mode != mode:
        return False
    if stat.S_ISREG(mode) and (status.st_nlink != 1 or status.st_size != len(data)):
        return False
    if any(not name.startswith("security.") for name in os.listxattr(path, follow_symlinks=False)):
        return False
    return _entry(path, status) == expected
