"""Names inside a run's folder, and the way small files are written so that a crash never leaves half of one.

The shim imports this module, so it stays with cheap parts of the standard library: what is loaded makes forks slower.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from determined import files

SCRATCH = "scratch"
"""All of a run that is deleted at its end, in a folder of its own."""
SPEC = f"{SCRATCH}/spec.json"
LOCK = "lock"
LOG = "log"
SHIM = "shim.json"
EXIT = "exit.json"
SHIM_ERROR = "shim.err"
WORK = f"{SCRATCH}/work"
INFO = f"{SCRATCH}/info"
MODEL = "model"
"""Clean copy of the model definition; only with the genuine library's paths."""
GENUINE = "genuine"
"""What ``/run/determined`` is bound to; only with the genuine library's paths."""

NEWS = ".news"
"""FIFO beside the run folders, by which shims wake the master."""
SERVER_ERROR = ".fork_server.err"
USED = ".used"
"""Folder beside the run folders, for scratch folders of ended runs."""
LEASH = ".leash"
"""FIFO beside the run folders that their keeper holds open; only where runs must not outlive it."""


def write_atomic(path: Path, text: str, name: str, *, sync: bool = True) -> None:
    """Replace a private file as a whole; durable on return unless ``sync`` is off."""
    files.replace_file(path, text.encode(), name, 0o600, sync)


def write_new(path: Path, text: str, name: str) -> None:
    """Write a private file in place; for files that nobody reads before they are whole."""
    files.write_file(path, text.encode(), name, 0o600, sync=False)


def fill(path: Path, text: str, name: str) -> None:
    """Write a private file in place, whatever it held before; for files that nobody reads before they are whole."""
    files.fill_file(path, text.encode(), name, 0o600)


def read_record(path: Path) -> dict[str, Any] | None:
    """A JSON object written by `write_atomic`; None when it is absent or not a JSON object."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return found if isinstance(found, dict) else None
