"""Decision latency: a trial reports a validation; how long until it holds its next operation?

Through a ``LocalSearchRunner`` in a process of its own, with every event and operation durable before it is answered.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.support import MODEL, Check, Section, config, percentile, table
from determined.testing.cluster import LocalMaster

ROUNDS = {1: 100, 10: 40, 50: 20}
"""Operations per trial, by the number of trials at once."""
SLEEP_S = {1: 0.01, 10: 0.1, 50: 1.0}
"""Mean time that a trial trains, so that trials outnumber cores without fighting for them."""


TARGET_MS = 20


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


def main(quick: bool = False) -> Section:
    """Measure."""
    rows, checks = [], []
    figures: dict[str, float] = {}
    for trials in (1, 10) if quick else ROUNDS:
        waits = [1000 * w for w in measure(trials)]
        p50 = percentile(waits, 0.5)
        rows.append([trials, len(waits), *(f"{percentile(waits, q):.1f}" for q in (0.5, 0.9, 0.99))])
        figures |= {f"p50_ms_at_{trials}": p50, f"p99_ms_at_{trials}": percentile(waits, 0.99)}
        checks.append(Check(f"p50 of decisions within {TARGET_MS} ms at {trials} trials", p50, p50 <= TARGET_MS))
    text = table("Decision latency (ms)", ["trials at once", "decisions", "p50", "p90", "p99"], rows)
    return Section("latency", text, figures, checks)


if __name__ == "__main__":
    section = main()
    print(section)
    sys.exit(not section.met)
