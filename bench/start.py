"""How long a trial takes to start: from the commit that gives its run slots to the first line of its script.

Beside it, in the same run, what the machine needs for less: an interpreter that ends at once, and the same script
started by hand. Trials start one after the other; then as many as there are slots, for trials per second.
"""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from bench.support import MODEL, Section, config, percentile, submit, table, wait_until_over
from determined.testing.cluster import LocalMaster

ALONE = 16
TOGETHER = 48
_FIRST_LINE = re.compile(r"first line at ([0-9.]+)")


def first_lines(master: LocalMaster, experiment_id: int) -> list[float]:
    """Seconds from the grant of slots to the first line, for each trial."""
    query = "SELECT r.granted_at, l.text FROM runs r JOIN logs l ON l.trial_id = r.trial_id AND l.run_id = r.run_id "
    with closing(sqlite3.connect(f"file:{master.data / 'master.db'}?mode=ro", uri=True)) as db:
        rows = db.execute(query + "WHERE r.experiment_id = ?", (experiment_id,)).fetchall()
    return [float(found[1]) - granted for granted, text in rows if (found := _FIRST_LINE.search(text))]


def trials(master: LocalMaster, count: int, at_once: int) -> tuple[list[float], float]:
    """Run so many trials; the time of each to its first line, and trials per second over all of them."""
    searcher = {"name": "random", "max_length": 1, "max_trials": count, "max_concurrent_trials": at_once}
    experiment = submit(master, config("first_line.py", searcher))
    state = wait_until_over(master, experiment)
    if state != "STATE_COMPLETED":
        raise RuntimeError(f"experiment {experiment} ended as {state}")
    with closing(sqlite3.connect(f"file:{master.data / 'master.db'}?mode=ro", uri=True)) as db:
        first, last = db.execute(
            "SELECT min(granted_at), max(ended_at) FROM runs WHERE experiment_id = ?", (experiment,)
        ).fetchone()
    return first_lines(master, experiment), count / (last - first)


def by_hand(arguments: list[str], count: int) -> list[float]:
    """Seconds from starting a process to its first line, or to its end if it prints none."""
    times = []
    for _ in range(count):
        begin = time.time()
        printed = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
        found = _FIRST_LINE.search(printed)
        times.append((float(found[1]) if found else time.time()) - begin)
    return times


def main(quick: bool = False) -> Section:
    """Measure."""
    alone, together = (6, 12) if quick else (ALONE, TOGETHER)
    with tempfile.TemporaryDirectory(prefix="bench-") as name, LocalMaster(Path(name) / "master", slots=2) as master:
        ours, _ = trials(master, alone, 1)
        _, rate = trials(master, together, 2)
    script = by_hand([sys.executable, str(MODEL / "first_line.py")], alone)
    bare = by_hand([sys.executable, "-c", "pass"], alone)
    rows = []
    limit = percentile(script, 0.5)
    for what, times in (("a trial", ours), ("the script by hand", script), ("an interpreter, start to end", bare)):
        p50, p90 = (1000 * percentile(times, share) for share in (0.5, 0.9))
        rows.append([what, f"{p50:.1f}", f"{p90:.1f}", f"{p50 / 1000 / limit:.1f}"])
    text = table("Trial start, cold", ["", "p50 ms", "p90 ms", "times the script by hand"], rows)
    text += f"\nTrials that only start and end, two at a time: {rate:.1f} per second.\n"
    figures = {"first_line_ms": 1000 * percentile(ours, 0.5), "by_hand_ms": 1000 * limit, "trials_per_s": rate}
    return Section("start", text, figures)


if __name__ == "__main__":
    print(main())
