"""Trials that do nothing, on a master of its own and a Ray cluster: ``python -m bench.noops TRIALS RAY``.

Each imports scikit-learn, reports one metric and ends; two at a time. Starts the master and stops it. Prints trials,
and the seconds from the first run's start to the last one's end as JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from bench import start
from determined.testing.cluster import LocalMaster

AT_ONCE = 2


def main() -> None:
    trials, address = int(sys.argv[1]), sys.argv[2]
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        LocalMaster(Path(name) / "master", slots=AT_ONCE, arguments=["--ray", address]) as master,
    ):
        _, rate = start.trials(master, trials, AT_ONCE, warm=True, script="noop.py")
    print(json.dumps({"trials": trials, "seconds": trials / rate}))


if __name__ == "__main__":
    main()
