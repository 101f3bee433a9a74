"""Records the file calls that Python code makes: wraps the functions of ``os`` that everything of ours goes through.

Bytes that went another way, such as a method's own files, are known from the moment they are synced.
"""

from __future__ import annotations

import os
import pathlib
import stat
import traceback
from collections.abc import Callable
from typing import Any

from determined import files
from tests.power.log import Call, Log

_HERE = ("files.py", "_files.py", "_storage.py", "backend.py", "store.py", "lineage.py", "shim.py")


def record(log: Log, inside: str) -> None:
    """From now on, note calls below the folder ``inside``. Cannot be undone."""
    written: set[str] = set()
    # The places that asked for a sync are found in the stack, which threads of a pool do not have.
    files.one_by_one = True

    def note(kind: str, path: str, **more: Any) -> None:
        if path.startswith(inside):
            log.add(Call(kind, path, **more))

    def wrap(name: str, after: Callable[..., None]) -> None:
        real = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            with log.turn:
                before = _before(name, args, kwargs)
                result = real(*args, **kwargs)
                after(result, before, *args, **kwargs)
            return result

        setattr(os, name, call)

    def on_open(_: int, existed: bool, path: Any, *args: Any, **kwargs: Any) -> None:
        if not existed and os.path.exists(path):  # noqa: PTH110 - as it was given
            written.add(_absolute(path))
            note("make", _absolute(path))

    def on_write(count: int, offset: int, fd: int, data: Any) -> None:
        path = _of(fd)
        written.add(path)
        note("write", path, data=bytes(data[:count]), at=offset)

    def on_cut(_: Any, __: Any, fd: int, size: int) -> None:
        note("cut", _of(fd), at=size)

    def on_sync(_: Any, __: Any, fd: int) -> None:
        path = _of(fd)
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            note("sync_folder", path, data="\0".join(os.listdir(path)).encode(), site=_site("folder"))  # noqa: PTH208
        else:
            data = b"" if path in written else _content(fd)
            note("sync", path, data=data, site=_site("file"))

    def on_rename(_: Any, __: Any, source: Any, target: Any, **kwargs: Any) -> None:
        note("rename", _absolute(source), target=_absolute(target))

    def on_remove(_: Any, __: Any, path: Any, *, dir_fd: int | None = None) -> None:
        note("remove", _absolute(path, dir_fd))

    def on_folder(_: Any, __: Any, path: Any, *args: Any, **kwargs: Any) -> None:
        note("make_folder", _absolute(path))

    wrap("open", on_open)
    wrap("write", on_write)
    wrap("ftruncate", on_cut)
    wrap("fsync", on_sync)
    wrap("rename", on_rename)
    wrap("replace", on_rename)
    wrap("unlink", on_remove)
    wrap("remove", on_remove)
    wrap("rmdir", on_remove)
    wrap("mkdir", on_folder)
    # Before Python 3.11 paths keep the functions that they found when they were imported.
    accessor = getattr(pathlib, "_NormalAccessor", None)
    for name in ("mkdir", "rename", "replace", "rmdir", "unlink") if accessor is not None else ():
        setattr(accessor, name, staticmethod(getattr(os, name)))


def _before(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if name == "open":
        return kwargs.get("dir_fd") is not None or os.path.exists(args[0])  # noqa: PTH110 - as it was given
    if name == "write":
        appends = os.fstat(args[0]).st_size if stat.S_ISREG(os.fstat(args[0]).st_mode) else 0
        try:
            return max(os.lseek(args[0], 0, os.SEEK_CUR), appends if _appends(args[0]) else 0)
        except OSError:
            return 0
    return None


def _appends(fd: int) -> bool:
    import fcntl

    return bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND)


def _content(fd: int) -> bytes:
    with open(f"/proc/self/fd/{fd}", "rb") as file:  # noqa: PTH123
        return file.read()


def _of(fd: int) -> str:
    return os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115


def _absolute(path: Any, dir_fd: int | None = None) -> str:
    text = os.fsdecode(path)
    if dir_fd is not None:
        return f"{_of(dir_fd)}/{text}"
    return os.path.abspath(text)  # noqa: PTH100


def _site(kind: str) -> str:
    """The places of ours that led to a sync, innermost first."""
    ours = [f for f in traceback.extract_stack() if f.filename.endswith(_HERE) and "/determined/" in f.filename]
    names = [frame.name for frame in reversed(ours) if frame.name not in ("sync", "sync_all", "call")]
    return f"{kind} of {' in '.join(names[:2])}"
