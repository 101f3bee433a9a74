"""Durable metric reports of 1,000 concurrent trials, with the master's database on PostgreSQL and on SQLite.

The server is a real one on the same machine, with ``fsync=on``; the master is the real one but for its launcher (see
``bench.hold_master``); the trials are connections that report as fast as they are answered.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from bench.load import Run
from bench.reports import load, stored
from bench.support import Check, Section, config, percentile, submit, table
from determined.testing.cluster import LocalMaster
from determined.testing.postgres import PostgresServer, new_database

TRIALS, SECONDS = 1_000, 20.0
TARGET_PER_S = 1_000


def measure(folder: Path, db: str | None, seconds: float) -> tuple[list[float], float, int]:
    """The times of all reports, reports per second, and how many were lost."""
    fifo = folder / "runs"
    os.mkfifo(fifo)
    own = LocalMaster(folder / "master", slots=TRIALS, db=db)
    own.module = ["bench.hold_master", str(fifo)]
    # Opened for both, so that neither side waits for the other.
    with os.fdopen(os.open(fifo, os.O_RDWR)) as told, own as master:
        searcher = {"name": "random", "max_length": 1, "max_trials": TRIALS, "max_concurrent_trials": 0}
        submit(master, config("noop.py", searcher))
        runs = [Run(**json.loads(told.readline())) for _ in range(TRIALS)]
        took, rate = load(master.port, runs, seconds)
        return took, rate, len(took) - stored(master)


def main(quick: bool = False) -> Section:
    """Measure."""
    rows: list[list[object]] = []
    figures: dict[str, float] = {}
    lost_in_all = 0
    with tempfile.TemporaryDirectory(prefix="bench-") as name, PostgresServer(sync=True) as server:
        for kind, db in (("postgresql", new_database(server.url())), ("sqlite", None)):
            folder = Path(name) / kind
            folder.mkdir()
            took, rate, lost = measure(folder, db, SECONDS / 5 if quick else SECONDS)
            p50, p99 = (1000 * percentile(took, share) for share in (0.5, 0.99))
            rows.append([kind, TRIALS, f"{rate:.0f}", f"{p50:.0f}", f"{p99:.0f}", lost])
            figures |= {f"{kind}_per_s": rate, f"{kind}_p50_ms": p50, f"{kind}_p99_ms": p99}
            lost_in_all += lost
    head = ["database", "trials at once", "reports/s", "p50 ms", "p99 ms", "lost"]
    per_s = figures["postgresql_per_s"]
    checks = (
        Check(f"at least {TARGET_PER_S} reports/s on PostgreSQL", per_s, per_s >= TARGET_PER_S),
        Check("no report lost", lost_in_all, lost_in_all == 0),
    )
    return Section("postgres", table("Durable metric reports of 1,000 trials", head, rows), figures, checks)


if __name__ == "__main__":
    section = main("--quick" in sys.argv)
    print(section)
    sys.exit(not section.met)
