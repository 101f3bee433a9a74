"""Trials per second of such that import scikit-learn, report one metric and end: ``python -m bench.noops TRIALS``.

Two at a time, on a master of its own. Prints the rate as JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from bench import start
from determined.testing.cluster import LocalMaster

AT_ONCE = 2
LOADED = 6
"""Trials before those that are measured, so that the template has loaded what they import."""


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        LocalMaster(Path(name) / "master", slots=AT_ONCE) as master,
    ):
        start.trials(master, LOADED, AT_ONCE, warm=True, script="noop.py")
        _, rate = start.trials(master, int(sys.argv[1]), AT_ONCE, warm=True, script="noop.py")
    print(json.dumps({"per_s": rate}))


if __name__ == "__main__":
    main()
