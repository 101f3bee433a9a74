"""How the files of a checkpoint are fetched."""

from __future__ import annotations

import enum


class DownloadMode(enum.Enum):
    """How the files of a checkpoint are fetched."""

    DIRECT = "direct"
    """From the storage itself."""
    MASTER = "master"
    """Through the master."""
    AUTO = "auto"
    """From the storage if that can be reached from here, else through the master."""

    def __str__(self) -> str:
        return self.value
