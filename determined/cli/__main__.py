"""``python -m determined.cli``."""

from __future__ import annotations

import sys

from determined.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
