"""Finds changes of files and new connections that pass no named step: what cannot be crashed is not tested.

Python itself tells of each such call (``sys.addaudithook``). A call counts as named while an action around it has
passed its ``.before`` and not yet its ``.after``.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

CHANGES = frozenset(
    [
        *("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "open"),
        *("socket.connect", "subprocess.Popen"),
    ]
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
LEFT_OUT = {
    ".lock": "holds nothing: only the lock counts",
    "/lock": "holds nothing: only the lock counts",
    "-wal": "SQLite's own",
    "-shm": "SQLite's own",
    ".fork_server.err": "a log for people",
    ".news": "a FIFO",
    ".log": "a log for people",
    "/log": "a log for people",
    "/steps": "the test's own",
    "/unnamed": "the test's own",
}
"""Ends of names of files that need no step, and why."""

BROAD = ("master.recover", "master.effect.", "launcher.prepare")
"""Actions that hold many others, so that being inside of them says nothing."""

_open_actions: ContextVar[tuple[str, ...]] = ContextVar("open_actions", default=())


def note(step: str) -> None:
    """Tell of a step that was passed; call it from the hook."""
    name, _, place = step.rpartition(".")
    if name.startswith(BROAD):
        return
    if place == "before":
        _open_actions.set((*_open_actions.get(), name))
    elif place == "after":
        left = list(_open_actions.get())
        if name in left:
            left.remove(name)
        _open_actions.set(tuple(left))


def watch(folders: Sequence[Path], report: Path) -> None:
    """From now on, write to ``report`` what is done to files in these folders without a name. Cannot be undone."""
    inside = tuple(f"{folder}/" for folder in folders)
    out = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def on_event(event: str, details: tuple[Any, ...]) -> None:
        if event in CHANGES and not _open_actions.get() and _concerns(event, details, inside):
            stack = traceback.extract_stack()
            if not any("filelock" in frame.filename for frame in stack):
                ours = [f"{frame.filename}:{frame.lineno}" for frame in stack if "determined" in frame.filename]
                os.write(out, f"{event} {details[:2]} at {ours[-1:]}\n".encode())

    sys.addaudithook(on_event)


def _concerns(event: str, details: tuple[Any, ...], inside: tuple[str, ...]) -> bool:
    if event in ("socket.connect", "subprocess.Popen"):
        return True
    if event == "open" and not (isinstance(details[2], int) and details[2] & _WRITING):
        return False
    path = os.fspath(details[0]) if isinstance(details[0], (str, bytes, os.PathLike)) else ""
    text = os.fsdecode(path)
    return text.startswith(inside) and not text.endswith(tuple(LEFT_OUT))
