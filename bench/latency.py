"""Decision latency: a trial reports a validation; how long until it holds its next operation?

Through a ``LocalSearchRunner`` in a process of its own, with every event and operation durable before it is answered.
Then the same with the runner of Determined 0.22.2 against the same master, where a Python is found that it runs on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.peers_env import ENVIRONMENTS
from bench.support import MODEL, Check, Section, config, percentile, table
from determined.testing.cluster import LocalMaster

ROUNDS = {2: 100, 10: 40, 50: 20}
"""Operations per trial, by the number of trials at once."""
GENUINE_ROUNDS = 5
"""The same for the other runner, which takes long; with two trials."""
SLEEP_S = {2: 0.02, 10: 0.1, 50: 1.0}
"""Mean time that a trial trains, so that trials outnumber cores without fighting for them."""
P50_MS, P99_MS = {2: 5.0, 50: 10.0}, {2: 20.0, 50: 50.0}
AHEAD = 100.0


def measure(trials: int, rounds: int, python: Path = Path(sys.executable)) -> list[float]:
    """Waits for the next operation, in seconds.

    Args:
        python: whose runner it is.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        out = folder / "out"
        out.mkdir()
        settings = config("latency.py", {"name": "custom"}, sleep=SLEEP_S[trials], out=str(out))
        (folder / "config.json").write_text(json.dumps(settings))
        with LocalMaster(folder / "master", slots=max(trials, 2), open_mode=True) as master:
            # By its path, so that the package that lies beside it is not in the way of the other one.
            script = str(Path(__file__).with_name("climb.py"))
            command = [str(python), "-W", "ignore", script, str(trials), str(rounds)]
            command += [str(folder / "config.json"), str(MODEL), str(folder / "searcher")]
            done = subprocess.run(command, env=master.env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{command} failed:\n{done.stdout}\n{done.stderr}")
        return [wait for path in out.iterdir() for wait in json.loads(path.read_text())]


def main(quick: bool = False) -> Section:
    """Measure."""
    rows, checks = [], []
    figures: dict[str, float] = {}
    p50: dict[int, float] = {}
    for trials in (2, 10) if quick else ROUNDS:
        waits = [1000 * w for w in measure(trials, ROUNDS[trials])]
        p50[trials], p99 = percentile(waits, 0.5), percentile(waits, 0.99)
        rows.append(["ours", trials, len(waits), *(f"{percentile(waits, q):.1f}" for q in (0.5, 0.9, 0.99))])
        figures |= {f"p50_ms_at_{trials}": p50[trials], f"p99_ms_at_{trials}": p99}
        for share, figure, targets in ((50, p50[trials], P50_MS), (99, p99, P99_MS)):
            if trials in targets:
                text = f"p{share} of decisions within {targets[trials]:g} ms at {trials} trials"
                checks.append(Check(text, figure, figure <= targets[trials]))
    if not quick:
        theirs = [1000 * w for w in measure(2, GENUINE_ROUNDS, ENVIRONMENTS["determined"].ready())]
        shown = [f"{percentile(theirs, q):.1f}" for q in (0.5, 0.9, 0.99)]
        rows.append(["Determined 0.22.2", 2, len(theirs), *shown])
        ahead = percentile(theirs, 0.5) / p50[2]
        figures["ahead_of_determined"] = ahead
        checks.append(Check(f"at least {AHEAD:g} times as fast as the runner of Determined", ahead, ahead >= AHEAD))
    text = table("Decision latency (ms)", ["runner", "trials at once", "decisions", "p50", "p90", "p99"], rows)
    return Section("latency", text, figures, checks)


if __name__ == "__main__":
    section = main()
    print(section)
    sys.exit(not section.met)
