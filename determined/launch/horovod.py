"""``python3 -m determined.launch.horovod``: refuses. This package has no launcher of its own for Horovod."""

from __future__ import annotations

import sys

from determined.launch._absent import cli

if __name__ == "__main__":
    sys.exit(cli("Horovod", "from_horovod"))
