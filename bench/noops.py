"""Trials that import scikit-learn, report one metric and end: ``python -m bench.noops TRIALS [RAY]``.

Two at a time, on a master of its own, and on a Ray cluster if its address is given. Prints trials, and the seconds from
the first run's start to the last one's end as JSON. On this machine some trials run before, so that the template has
loaded what they import; on a cluster the first of all is measured as well.
"""

from __future__ import annotations

import json
import sys

from bench import start
from bench.support import scratch
from determined.testing.cluster import LocalMaster

AT_ONCE = 2
LOADED = 6


def main() -> None:
    trials, *address = sys.argv[1:]
    with (
        scratch() as folder,
        LocalMaster(folder / "master", slots=AT_ONCE, arguments=["--ray", *address] if address else []) as master,
    ):
        if not address:
            start.trials(master, LOADED, AT_ONCE, warm=True, script="noop.py")
        _, rate = start.trials(master, int(trials), AT_ONCE, warm=True, script="noop.py")
    print(json.dumps({"trials": int(trials), "seconds": int(trials) / rate}))


if __name__ == "__main__":
    main()
