"""Deleting folders that runs have had. Blocking."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from determined import files
from determined.files import action


def delete_tree(folder: Path) -> None:
    """Delete a folder, also where the run took away our permission to write; a link or a file in its place as well.

    Raises:
        OSError: something cannot be deleted.
    """
    if folder.is_symlink() or folder.is_file():
        files.remove(folder, "launcher.delete")
    if not folder.exists():
        return
    with action("launcher.delete"):
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            for parent, _, _ in os.walk(folder):
                Path(parent).chmod(0o700)
            shutil.rmtree(folder)
