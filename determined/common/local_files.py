"""Folder, log and environment of a master in the background."""

from __future__ import annotations

import os
import site
from pathlib import Path
from typing import IO

from determined import files
from determined.errors import InvalidInput

_LOG_LINES = 20
_SECRETS = ("DET_PASS", "DET_USER_TOKEN", "DET_SESSION_TOKEN")


def make_folder(data_dir: Path) -> None:
    """Make the folder of a master's data, for its owner alone.

    Raises:
        InvalidInput: it cannot be made.
    """
    try:
        files.make_folder(data_dir, "client.data", 0o700)
    except OSError as error:
        raise InvalidInput(
            f"the folder of the local master cannot be made: {error}; set DET_DATA_DIR to one that can be written"
        ) from error


def open_log(path: Path) -> IO[bytes]:
    """The log of a master in the background, to be written to at its end."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags, 0o600)

    return open(path, "ab", opener=opener)


def tail(path: Path, start: int) -> str:
    """The last lines of what a log got since it had ``start`` bytes."""
    with path.open("rb") as file:
        file.seek(start)
        text = file.read(1 << 20).decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-_LOG_LINES:]) or "(nothing)"


def environment() -> dict[str, str]:
    """The environment of a master: ours, without secrets of one user, and with the package in reach of any folder."""
    env = {name: value for name, value in os.environ.items() if name not in _SECRETS}
    root = str(Path(__file__).resolve().parents[2])
    if root not in {*site.getsitepackages(), site.getusersitepackages()}:
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (root, env.get("PYTHONPATH"))))
    return env
