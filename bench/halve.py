"""A search with asynchronous halving on a master of its own: ``python -m bench.halve TRIALS [RAY]``.

81 units at most, divisor 3, five rungs, promotion; two trials at a time, each in a process of its own. One that is
promoted after its process has ended goes on in another, from its checkpoint. Starts the master and stops it. Prints
trials, runs, reports, and the seconds from the first run's start to the last one's end as JSON. RAY: address of a
cluster for the trials.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from contextlib import closing

from bench.support import MODEL, config, scratch
from determined import searcher
from determined.domain.hparams import Double, Space
from determined.testing.cluster import LocalMaster

MAX_LENGTH, DIVISOR, RUNGS, AT_ONCE = 81, 3, 5, 2


def main() -> None:
    trials, address = int(sys.argv[1]), sys.argv[2:]
    method = searcher.AsyncHalvingSearch(
        Space.of({"x": Double(0.0, 1.0)}),
        MAX_LENGTH,
        trials,
        RUNGS,
        divisor=DIVISOR,
        max_concurrent_trials=AT_ONCE,
    )
    with (
        scratch() as folder,
        LocalMaster(folder / "master", slots=AT_ONCE, arguments=["--ray", *address] if address else ()) as master,
    ):
        os.environ.update({key: master.env[key] for key in ("DET_MASTER", "DET_PROGRESS", "XDG_CONFIG_HOME")})
        runner = searcher.LocalSearchRunner(method, searcher_dir=folder / "searcher")
        runner.run(config("units.py", {"name": "custom"}), model_dir=MODEL)
        assert runner.state.experiment_completed, "the search failed"
        with closing(sqlite3.connect(f"file:{master.data / 'master.db'}?mode=ro", uri=True)) as db:
            counts = [
                db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("trials", "runs", "metrics")
            ]
            first, last = db.execute("SELECT min(granted_at), max(ended_at) FROM runs").fetchone()
    found = dict(zip(("trials", "runs", "reports"), counts, strict=True))
    print(json.dumps({**found, "seconds": last - first}))


if __name__ == "__main__":
    main()
