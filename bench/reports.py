"""Durable metric reports per second: how many a master takes in, each answered after its commit reached the disk.

A real master on SQLite (``synchronous=FULL``) with live trials, each of which reports over a connection of its own as
fast as it is answered, and idle long polls that the master keeps open meanwhile. All clients are in processes of their
own, on the same machine. Every answer must be 200, and every report must be in the data base at the end. Then, with
nobody reporting, what a master costs that keeps many long polls open. ``python -m bench.reports --postgres`` does the
same with the database on a PostgreSQL server on this machine (``fsync=on``); ``bench.postgres`` has more trials.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import psutil

from bench.load import Run
from bench.support import Check, Section, config, percentile, submit, table
from determined.testing.cluster import LocalMaster
from determined.testing.database import opened
from determined.testing.postgres import PostgresServer, new_database

TRIALS = 64
REPORTERS = 2
"""Processes that report, for the trials together."""
POLLS, MANY_POLLS = 1_000, 5_000
SECONDS, IDLE_SECONDS = 10.0, 20.0
TARGET_PER_S, TARGET_P99_MS = 2_500, 60.0
TARGET_RSS_MB, TARGET_CPU = 600, 0.05


@contextlib.contextmanager
def clients(mode: str, port: int, runs: Sequence[Run], number: int, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """A process of clients; see ``bench.load``. It ends when the block does."""
    command = [sys.executable, "-m", "bench.load", mode, str(port), str(number), str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps([asdict(run) for run in runs]) + "\n")
        process.stdin.flush()
        yield process
        process.stdin.close()
        if process.wait():
            raise RuntimeError(f"clients ({mode}) failed with exit code {process.returncode}")


@contextlib.contextmanager
def idle_polls(port: int, runs: Sequence[Run], number: int) -> Iterator[None]:
    """So many long polls are open."""
    with clients("poll", port, runs, number, 0) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "open\n":
            raise RuntimeError("the long polls could not be opened")
        yield


def load(port: int, runs: Sequence[Run], seconds: float) -> tuple[list[float], float]:
    """All reporters at once; the times of all reports, and reports per second."""
    took: list[float] = []
    with contextlib.ExitStack() as stack:
        share = len(runs) // REPORTERS
        parts = [runs[i * share : (i + 1) * share] for i in range(REPORTERS)]
        processes = [stack.enter_context(clients("report", port, part, share, seconds)) for part in parts]
        for process in processes:
            assert process.stdout is not None
            took += json.loads(process.stdout.read())
    return took, len(took) / seconds


def cost_when_idle(master: LocalMaster, seconds: float) -> tuple[float, float]:
    """Resident megabytes of a master, and the share of one core that it uses."""
    process = psutil.Process(master.pid)
    before = process.cpu_times()
    time.sleep(seconds)
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    return process.memory_info().rss / 2**20, used / seconds


def live_runs(master: LocalMaster, folder: Path) -> list[Run]:
    """Start trials that hand out their tokens and then do nothing."""
    out = folder / "out"
    out.mkdir()
    searcher = {"name": "random", "max_length": 1, "max_trials": TRIALS, "max_concurrent_trials": 0}
    experiment = submit(master, config("hold_token.py", searcher, out=str(out)))
    with master.session() as session:
        for line in session.stream(f"/api/v1/experiments/{experiment}/watch", {"follow": True}):
            if line["result"]["trials"]["total"] == TRIALS:
                break
        trials = session.get(f"/api/v1/experiments/{experiment}/trials")["trials"]
        for trial in trials:
            for line in session.stream(f"/api/v1/trials/{trial['id']}/logs", {"follow": True}):
                if "holding" in line["result"]["message"]:
                    break
    return [Run(**json.loads(path.read_text())) for path in sorted(out.glob("*.json"))]


def stored(master: LocalMaster) -> int:
    """Reports in the data base."""
    with opened(master.data) as db:
        return int(db.execute("SELECT count(*) FROM metrics").fetchone()[0])


def syncs_per_s(folder: Path, count: int = 500) -> float:
    """What the disk allows: short appends per second, each brought to the disk by itself."""
    descriptor = os.open(folder / "probe", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    begin = time.perf_counter()
    for _ in range(count):
        os.write(descriptor, b"x" * 200)
        os.fsync(descriptor)
    os.close(descriptor)
    return count / (time.perf_counter() - begin)


@contextlib.contextmanager
def database(postgres: bool) -> Iterator[str | None]:
    """The URL of a database on a server that is there meanwhile; None for SQLite."""
    if not postgres:
        yield None
        return
    with PostgresServer(sync=True) as server:
        yield new_database(server.url())


def main(quick: bool = False, postgres: bool = False) -> Section:
    """Measure."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name, database(postgres) as db:
        folder = Path(name)
        with LocalMaster(folder / "master", slots=TRIALS, db=db) as master:
            runs = live_runs(master, folder)
            with idle_polls(master.port, runs, POLLS):
                took, rate = load(master.port, runs, SECONDS / 4 if quick else SECONDS)
            lost = len(took) - stored(master)
            with idle_polls(master.port, runs, MANY_POLLS):
                rss, cpu = cost_when_idle(master, IDLE_SECONDS / 4 if quick else IDLE_SECONDS)
        syncs = syncs_per_s(folder)
    p50, p99 = (1000 * percentile(took, share) for share in (0.5, 0.99))
    head = ["trials", "idle polls", "reports/s", "p50 ms", "p99 ms", "lost", "appends with fsync/s, alone"]
    row = [TRIALS, POLLS, f"{rate:.0f}", f"{p50:.1f}", f"{p99:.1f}", lost, f"{syncs:.0f}"]
    text = table("Durable metric reports", head, [row])
    head = ["idle polls", "master, MB", "share of a core, %"]
    text += "\n" + table("A master that only waits", head, [[MANY_POLLS, f"{rss:.0f}", f"{100 * cpu:.1f}"]])
    checks = (
        Check(f"at least {TARGET_PER_S} reports/s", rate, rate >= TARGET_PER_S),
        Check(f"p99 within {TARGET_P99_MS:g} ms", p99, p99 <= TARGET_P99_MS),
        Check("no report lost", lost, lost == 0),
        Check(f"at most {TARGET_RSS_MB} MB with {MANY_POLLS} idle polls", rss, rss <= TARGET_RSS_MB),
        Check(f"at most {TARGET_CPU:.0%} of a core with {MANY_POLLS} idle polls", cpu, cpu <= TARGET_CPU),
    )
    figures = {"per_s": rate, "p50_ms": p50, "p99_ms": p99, "idle_mb": rss, "idle_cpu": cpu}
    return Section("reports", text, figures, checks)


if __name__ == "__main__":
    section = main("--quick" in sys.argv, "--postgres" in sys.argv)
    print(section)
    sys.exit(not section.met)
