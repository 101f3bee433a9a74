"""One search of very many trials: does it cost the same at its end as at its beginning, and how soon is it back?

``python -m bench.scale [--trials N]`` (100,000 by default, which takes many minutes). A real master on SQLite and a
real ``LocalSearchRunner``, each a process of its own; the trials are simulated by clients that speak to the master over
HTTP as the Core API does, so that starting processes does not count. In mid-search the master and the runner are killed
and started again.
"""

from __future__ import annotations

import argparse
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import psutil

from bench.support import Check, Section, table
from determined.testing.cluster import LocalMaster

TRIALS, AT_ONCE = 100_000, 64
TARGET_PER_S, TARGET_RATIO = 200.0, 1.2
TARGET_MASTER_MB, TARGET_RUNNER_MB, TARGET_BACK_S = 600.0, 300.0, 10.0


class Sampler(threading.Thread):
    """The largest resident memory of processes that come and go under a name."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.pids: dict[str, int] = {}
        self.most: dict[str, float] = {}
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(1.0):
            for name, pid in self.pids.items():
                try:
                    now = psutil.Process(pid).memory_info().rss / 2**20
                except psutil.Error:
                    continue
                self.most[name] = max(self.most.get(name, 0.0), now)


def ended(master: LocalMaster) -> int:
    """Trials that are over."""
    try:
        with closing(sqlite3.connect(f"file:{master.data / 'master.db'}?mode=ro", uri=True, timeout=30)) as db:
            return int(db.execute("SELECT count(*) FROM runs WHERE ended_at IS NOT NULL").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def until_ended(master: LocalMaster, count: int, runner: subprocess.Popen[bytes]) -> None:
    """Wait until so many trials are over; nobody is asked, so a look now and then has to do."""
    while ended(master) < count:
        if runner.poll() is not None:
            raise RuntimeError(f"the runner ended with {runner.returncode} after {ended(master)} trials")
        time.sleep(0.2)


def measure(trials: int) -> tuple[list[float], float, dict[str, float]]:
    """When each trial ended, seconds from the restart to the next end, and the most memory by process."""
    sampler = Sampler()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        socket = str(folder / "clients")
        clients = subprocess.Popen(
            [sys.executable, "-m", "bench.scale_clients", socket], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert clients.stdout is not None
        clients.stdout.readline()
        own = LocalMaster(folder / "master", slots=AT_ONCE)
        own.module = ["bench.scale_master", socket]
        with own as master:
            command = [sys.executable, "-m", "bench.scale_search", str(trials), str(AT_ONCE), str(folder / "search")]

            def start_runner() -> subprocess.Popen[bytes]:
                sampler.pids["master"] = master.pid
                runner = subprocess.Popen(command, env=master.env)
                sampler.pids["runner"] = runner.pid
                return runner

            runner = start_runner()
            sampler.start()
            until_ended(master, trials // 2, runner)
            runner.kill()
            runner.wait()
            master.kill()
            killed, before = time.time(), ended(master)
            master.start()
            runner = start_runner()
            until_ended(master, before + AT_ONCE, runner)
            if runner.wait() != 0:
                raise RuntimeError(f"the search failed with exit code {runner.returncode}")
            sampler.over.set()
            with closing(sqlite3.connect(f"file:{master.data / 'master.db'}?mode=ro", uri=True)) as db:
                ends = [row[0] for row in db.execute("SELECT ended_at FROM runs ORDER BY ended_at")]
        clients.kill()
        clients.wait()
    assert len(ends) == trials, f"{len(ends)} runs of {trials} trials"
    back = min(end for end in ends[before + AT_ONCE // 2 :] if end > killed) - killed
    return ends, back, sampler.most


def rate(ends: Sequence[float]) -> float:
    """Trials per second in a stretch of the search."""
    return (len(ends) - 1) / (ends[-1] - ends[0])


def main(quick: bool = False, trials: int = TRIALS) -> Section:
    """Measure."""
    trials = 2_000 if quick else trials
    ends, back, most = measure(trials)
    tenth = trials // 10
    first, last = rate(ends[:tenth]), rate(ends[-tenth:])
    whole = (len(ends) - 1) / (ends[-1] - ends[0] - back)
    head = ["trials", "at once", "trials/s", "first tenth", "last tenth", "back after, s", "master, MB", "runner, MB"]
    row = [trials, AT_ONCE, f"{whole:.0f}", f"{first:.0f}", f"{last:.0f}", f"{back:.1f}"]
    text = table("One search", head, [[*row, f"{most['master']:.0f}", f"{most['runner']:.0f}"]])
    checks = (
        Check(f"at least {TARGET_PER_S:g} trials/s", whole, whole >= TARGET_PER_S),
        Check(f"the last tenth takes at most {TARGET_RATIO}x the first", first / last, first / last <= TARGET_RATIO),
        Check(f"both are back within {TARGET_BACK_S:g} s", back, back <= TARGET_BACK_S),
        Check(f"the master takes at most {TARGET_MASTER_MB:g} MB", most["master"], most["master"] <= TARGET_MASTER_MB),
        Check(f"the runner takes at most {TARGET_RUNNER_MB:g} MB", most["runner"], most["runner"] <= TARGET_RUNNER_MB),
    )
    figures = {"trials_per_s": whole, "first_tenth": first, "last_tenth": last, "back_s": back, **most}
    return Section("scale", text, figures, checks)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description="One search of very many trials.")
    parser.add_argument("--trials", type=int, default=TRIALS, metavar="N")
    section = main(trials=parser.parse_args().trials)
    print(section)
    sys.exit(not section.met)
