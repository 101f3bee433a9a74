"""Decision latency: a trial reports a validation; how long until it holds its next operation?

Through a ``LocalSearchRunner`` in a process of its own, with every event and operation durable before it is answered.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.support import MODEL, config, percentile, table
from determined.testing.cluster import LocalMaster

ROUNDS = {1: 100, 10: 40, 50: 20}
"""Operations per trial, by the number of trials at once."""
SLEEP_S = {1: 0.01, 10: 0.1, 50: 1.0}
"""Mean time that a trial trains, so that trials outnumber cores without fighting for them."""


def measure(trials: int) -> list[float]:
    """Waits for the next operation, in seconds."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        out = folder / "out"
        out.mkdir()
        settings = config("latency.py", {"name": "custom"}, sleep=SLEEP_S[trials], out=str(out))
        (folder / "config.json").write_text(json.dumps(settings))
        with LocalMaster(folder / "master", slots=max(trials, 2)) as master:
            command = [sys.executable, "-m", "bench.climb", str(trials), str(ROUNDS[trials])]
            command += [str(folder / "config.json"), str(MODEL), str(folder / "searcher")]
            subprocess.run(command, env=master.env, check=True, capture_output=True)
        return [wait for path in out.iterdir() for wait in json.loads(path.read_text())]


def main() -> str:
    """Measure and return the table."""
    rows = []
    for trials in ROUNDS:
        waits = [1000 * w for w in measure(trials)]
        rows.append([trials, len(waits), *(f"{percentile(waits, q):.1f}" for q in (0.5, 0.9, 0.99))])
    return table("Decision latency (ms)", ["trials at once", "decisions", "p50", "p90", "p99"], rows)


if __name__ == "__main__":
    print(main())
