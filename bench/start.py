"""How long a trial takes to start: from the commit that gives its run slots to the first line of its script.

Measured with warm start and without. Beside it, in the same run, what the machine needs for less: an interpreter that
ends at once, and the same script started by hand. Trials start one after the other; then two at a time, for trials per
second: such that do nothing, and such that import scikit-learn, report one metric and end.
"""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from bench.support import MODEL, Section, config, percentile, submit, table, wait_until_over
from determined.testing.cluster import LocalMaster

ALONE = 16
TOGETHER = 48
SCRIPTS = {"first_line.py": "nothing but start and end", "noop.py": "import scikit-learn, report one metric"}
_FIRST_LINE = re.compile(r"first line at ([0-9.]+)")


def first_lines(master: LocalMaster, experiment_id: int) -> list[float]:
    """Seconds from the grant of slots to the first line, for each trial."""
    query = "SELECT r.granted_at, l.text FROM runs r JOIN logs l ON l.trial_id = r.trial_id AND l.run_id = r.run_id "
    with closing(sqlite3.connect(f"file:{master.data / 'master.db'}?mode=ro", uri=True)) as db:
        rows = db.execute(query + "WHERE r.experiment_id = ?", (experiment_id,)).fetchall()
    return [float(found[1]) - granted for granted, text in rows if (found := _FIRST_LINE.search(text))]


def trials(
    master: LocalMaster, count: int, at_once: int, *, warm: bool, script: str = "first_line.py"
) -> tuple[list[float], float]:
    """Run so many trials; the time of each to its first line, and trials per second over all of them."""
    searcher = {"name": "random", "max_length": 1, "max_trials": count, "max_concurrent_trials": at_once}
    experiment = submit(master, config(script, searcher, warm=warm))
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
    first: dict[bool, list[float]] = {}
    rates: dict[tuple[bool, str], float] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as name, LocalMaster(Path(name) / "master", slots=2) as master:
        for warm in (False, True):
            first[warm], _ = trials(master, alone, 1, warm=warm)
            for script in SCRIPTS:
                _, rates[warm, script] = trials(master, together * (4 if warm else 1), 2, warm=warm, script=script)
    script_alone = by_hand([sys.executable, str(MODEL / "first_line.py")], alone)
    bare = by_hand([sys.executable, "-c", "pass"], alone)
    rows = []
    limit = percentile(script_alone, 0.5)
    for what, times in (
        ("a trial", first[False]),
        ("a trial, warm", first[True]),
        ("the script by hand", script_alone),
        ("an interpreter, start to end", bare),
    ):
        p50, p90 = (1000 * percentile(times, share) for share in (0.5, 0.9))
        rows.append([what, f"{p50:.1f}", f"{p90:.1f}", f"{p50 / 1000 / limit:.1f}"])
    text = table("Trial start", ["", "p50 ms", "p90 ms", "times the script by hand"], rows)
    speeds = [
        [what, *(f"{rates[warm, script]:.1f}" for warm in (False, True)), f"{_gain(rates, script):.1f}"]
        for script, what in SCRIPTS.items()
    ]
    text += "\n" + table("Trials per second, two at a time", ["", "cold", "warm", "times as many"], speeds)
    figures = {
        "first_line_ms": 1000 * percentile(first[False], 0.5),
        "first_line_warm_ms": 1000 * percentile(first[True], 0.5),
        "by_hand_ms": 1000 * limit,
        **{f"{'warm' if warm else 'cold'} {script} per s": rate for (warm, script), rate in rates.items()},
    }
    return Section("start", text, figures)


def _gain(rates: Mapping[tuple[bool, str], float], script: str) -> float:
    return rates[True, script] / rates[False, script]


if __name__ == "__main__":
    print(main())
