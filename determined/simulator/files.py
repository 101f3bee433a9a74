"""Files that hold recorded curves, and who reads them; a reader is loaded when its first file is named."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

READERS: Mapping[str, str] = {".detrec": "determined.workshop.recording:Recording.read"}
"""Functions, as ``module:name``, from a path to something that has ``curves()``. They are given by name because tools
for recorded experiments are built upon this package, not beneath it."""


def read_file(path: Path) -> Any:
    """What a file holds, as a source for ``Table.of``. A file with a suffix that nobody is named for is a frame.

    Raises:
        InvalidInput: there is no such file, or it is something else.
        CorruptState: a recorded experiment is damaged or of a newer version.
        MissingExtra: a package that reads it is missing.
    """
    reader = READERS.get(path.suffix)
    if reader is None:
        from determined.simulator.frames import read_parquet

        return read_parquet(path)
    module, _, name = reader.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found(path)
