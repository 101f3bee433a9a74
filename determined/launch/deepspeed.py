"""``python3 -m determined.launch.deepspeed``: refuses. This package has no launcher of its own for DeepSpeed."""

from __future__ import annotations

import sys

from determined.launch._absent import cli

if __name__ == "__main__":
    sys.exit(cli("DeepSpeed", "from_deepspeed"))
