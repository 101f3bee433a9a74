"""Deleting folders that runs have had. Blocking."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from determined.files import action


def delete_tree(folder: Path) -> None:
    """Delete a folder, also where the run took away our permission to write.

    Raises:
        OSError: something cannot be deleted.
    """
    if not folder.exists():
        return
    with action("launcher.delete"):
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            for parent, _, _ in os.walk(folder):
                Path(parent).chmod(0o700)
            shutil.rmtree(folder)
