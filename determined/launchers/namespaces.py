"""A private view of the file system for one run, so that several runs can use the same fixed paths.

Called in the run's process, between fork and exec. Needs root, or a kernel that lets users make namespaces.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_PRIVATE = 1 << 18


def enter(binds: Sequence[Sequence[str]]) -> None:
    """Leave the shared mount namespace and bind ``(source, target)`` pairs, in order.

    Raises:
        OSError: it is not possible here; the text says which step failed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _unshare(libc)
    _mount(libc, "none", "/", _MS_REC | _MS_PRIVATE)
    for source, target in binds:
        _make_mount_point(Path(target))
        _mount(libc, source, target, _MS_BIND | _MS_REC)


def _unshare(libc: ctypes.CDLL) -> None:
    uid, gid = os.geteuid(), os.getegid()
    flags = _CLONE_NEWNS if uid == 0 else _CLONE_NEWNS | _CLONE_NEWUSER
    if libc.unshare(flags) != 0:
        raise _failure("making a mount namespace (needs root, or user namespaces allowed by the kernel)")
    if uid != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def _make_mount_point(target: Path) -> None:
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            error.errno, f"{target} does not exist and cannot be made ({error.strerror}); create it once as root"
        ) from error


def _mount(libc: ctypes.CDLL, source: str, target: str, flags: int) -> None:
    if libc.mount(os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(flags), None) != 0:
        raise _failure(f"binding {source} to {target}" if source != "none" else "making mounts private")


def _failure(step: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{step}: {os.strerror(number)}")
