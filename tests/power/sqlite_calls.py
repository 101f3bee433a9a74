"""Records the file calls of SQLite: puts functions of ours before those that write, in the library that Python uses.

SQLite brings the name of a new log or journal to the disk with the first sync of that file (``unixSync`` in os_unix.c),
and so does this log.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
from collections.abc import Callable
from typing import Any

from tests.power.log import Call, Log

_LATER_NAMED = 0x800 | 0x4000 | 0x80000
"""SQLITE_OPEN_MAIN_JOURNAL, SUPER_JOURNAL and WAL."""
_VFS_OPEN, _VFS_DELETE = 40, 48
_WRITE, _TRUNCATE, _SYNC = 3, 4, 5
_METHODS = 19
"""Words of ``sqlite3_io_methods``, the version number included."""

# Names stay addresses: SQLite keeps them, so they must not become texts of Python's that go away.
_Open = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_int)
)
_Delete = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
_Write = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64)
_Truncate = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int64)
_Sync = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)


def library() -> str | None:
    """The file of the SQLite library, None where Python has it built in."""
    with sqlite3.connect(":memory:"), open("/proc/self/maps") as maps:  # noqa: PTH123
        found = {line.split()[-1] for line in maps if "/libsqlite3" in line}
    return found.pop() if found else None


class Recorder:
    """Stands before the default file system of SQLite from construction on; cannot be taken away again.

    Args:
        log: gets every call on a file below ``inside``.
        fail: asked before each write, cut and sync, with its kind; any code but 0 is what SQLite gets instead.
    """

    def __init__(self, log: Log, inside: str, fail: Callable[[str], int] = lambda kind: 0) -> None:
        self._log, self._inside, self._fail = log, inside, fail
        self._paths: dict[int, str] = {}
        self._nameless: set[str] = set()
        self._tables: dict[int, Any] = {}
        name = library()
        assert name is not None
        sqlite = ctypes.CDLL(name)
        sqlite.sqlite3_vfs_find.restype = ctypes.c_void_p
        vfs = sqlite.sqlite3_vfs_find(None)
        # ctypes does not keep callbacks alive, so this object does.
        self._kept: list[Any] = []
        self._open = _Open(self._replace(vfs + _VFS_OPEN, _Open(self._on_open)))
        self._delete = _Delete(self._replace(vfs + _VFS_DELETE, _Delete(self._on_delete)))

    def _replace(self, address: int, ours: Any) -> int:
        word = ctypes.c_void_p.from_address(address)
        before = word.value
        assert before is not None
        self._kept.append(ours)
        word.value = ctypes.cast(ours, ctypes.c_void_p).value
        return before

    def _on_open(self, vfs: int, name: int | None, file: int, flags: int, out_flags: Any) -> int:
        path = _text(name)
        existed = os.path.exists(path)  # noqa: PTH110
        code = int(self._open(vfs, name, file, flags, out_flags))
        methods = ctypes.c_void_p.from_address(file)
        if code == 0 and methods.value and path.startswith(self._inside):
            self._paths[file] = path
            methods.value = self._table(methods.value)
            if not existed:
                self._log.add(Call("make", path))
                if flags & _LATER_NAMED:
                    self._nameless.add(path)
        return code

    def _table(self, original: int) -> int:
        """A copy of the functions of a file, with ours in three places."""
        if original not in self._tables:
            table = (ctypes.c_void_p * _METHODS).from_buffer_copy(ctypes.string_at(original, _METHODS * 8))
            write, truncate, sync = (
                _Write(table[_WRITE] or 0),
                _Truncate(table[_TRUNCATE] or 0),
                _Sync(table[_SYNC] or 0),
            )

            def on_write(file: int, data: int, count: int, offset: int) -> int:
                code = self._fail("write") or int(write(file, data, count, offset))
                if code == 0:
                    self._log.add(Call("write", self._paths[file], ctypes.string_at(data, count), offset))
                return code

            def on_truncate(file: int, size: int) -> int:
                code = self._fail("cut") or int(truncate(file, size))
                if code == 0:
                    self._log.add(Call("cut", self._paths[file], at=size))
                return code

            def on_sync(file: int, flags: int) -> int:
                code = self._fail("sync") or int(sync(file, flags))
                path = self._paths[file]
                if code:
                    return code
                self._log.add(Call("sync", path, site=f"SQLite, {'log' if path.endswith('-wal') else 'data base'}"))
                if path in self._nameless:
                    self._nameless.discard(path)
                    self._log.add(Call("sync_folder", os.path.dirname(path), site="SQLite, folder"))  # noqa: PTH120
                return code

            ours = (_Write(on_write), _Truncate(on_truncate), _Sync(on_sync))
            self._kept += [*ours, write, truncate, sync]
            for place, function in zip((_WRITE, _TRUNCATE, _SYNC), ours, strict=True):
                table[place] = ctypes.cast(function, ctypes.c_void_p).value
            self._tables[original] = table
        return ctypes.addressof(self._tables[original])

    def _on_delete(self, vfs: int, name: int, sync_folder: int) -> int:
        path = _text(name)
        code = int(self._delete(vfs, name, sync_folder))
        if code == 0 and path.startswith(self._inside):
            self._log.add(Call("remove", path))
            if sync_folder:
                self._log.add(Call("sync_folder", os.path.dirname(path), site="SQLite, folder"))  # noqa: PTH120
        return code


def _text(address: int | None) -> str:
    return os.fsdecode(ctypes.string_at(address)) if address else ""
