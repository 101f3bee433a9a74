"""Durable metric reports per second: how many a master takes in, each answered after its commit reached the disk.

A real master on SQLite (``synchronous=FULL``) with live trials, each of which reports over a connection of its own as
fast as it is answered, and ``POLLS`` idle long polls that the master keeps open meanwhile. Every answer must be 200,
and every report must be in the data base at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench.support import Check, Section, config, percentile, submit, table
from determined.testing.cluster import LocalMaster

TRIALS = 32
POLLS = 1_000
SECONDS = 8.0
TARGET_PER_S = 1_500


@dataclass(frozen=True)
class Run:
    """A live run and the token that lets it report."""

    trial: int
    run: int
    token: str
    allocation: str


def request(method: str, path: str, token: str, body: bytes = b"") -> bytes:
    """One HTTP request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Grpc-Metadata-x-allocation-token: Bearer {token}\r\n\r\n".encode() + body


async def read_answer(reader: asyncio.StreamReader) -> int:
    """The status of an answer whose body is then read."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
    return int(head.split()[1])


async def report(port: int, run: Run, until: float) -> list[float]:
    """Report over one connection until the time is up; how long each report took, in seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    path = f"/api/v1/trials/{run.trial}/validation_metrics"
    took: list[float] = []
    while (begin := time.perf_counter()) < until:
        body = {"trial_run_id": run.run, "steps_completed": 1 + len(took)}
        metrics = {"avg_metrics": {"loss": 1 / (1 + len(took)), "accuracy": 0.5}}
        writer.write(request("POST", path, run.token, json.dumps({**body, "metrics": metrics}).encode()))
        status = await read_answer(reader)
        if status != 200:
            raise RuntimeError(f"a report was answered with {status}")
        took.append(time.perf_counter() - begin)
    writer.close()
    return took


async def poll(port: int, run: Run) -> asyncio.StreamWriter:
    """Open a long poll that nothing will answer for a minute."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    path = f"/api/v1/allocations/{run.allocation}/signals/preemption?timeout_seconds=60"
    writer.write(request("GET", path, run.token))
    await writer.drain()
    return writer


async def load(port: int, runs: list[Run], seconds: float) -> tuple[list[float], float]:
    """Everything at once; the times of all reports, and how long it took in all."""
    polls = [await poll(port, runs[i % len(runs)]) for i in range(POLLS)]
    begin = time.perf_counter()
    work = [report(port, run, begin + seconds) for run in runs]
    took = [t for times in await asyncio.gather(*work) for t in times]
    elapsed = time.perf_counter() - begin
    for writer in polls:
        writer.close()
    return took, elapsed


def live_runs(master: LocalMaster, folder: Path) -> list[Run]:
    """Start trials that hand out their tokens and then do nothing."""
    out = folder / "out"
    out.mkdir()
    searcher = {"name": "random", "max_length": 1, "max_trials": TRIALS, "max_concurrent_trials": 0}
    experiment = submit(master, config("hold_token.py", searcher, out=str(out)))
    with master.session() as session:
        trials = session.get(f"/api/v1/experiments/{experiment}/trials")["trials"]
        for trial in trials:
            for line in session.stream(f"/api/v1/trials/{trial['id']}/logs", {"follow": True}):
                if "holding" in line["result"]["message"]:
                    break
    return [Run(**json.loads(path.read_text())) for path in sorted(out.glob("*.json"))]


def stored(master: LocalMaster) -> int:
    """Reports in the data base."""
    with closing(sqlite3.connect(f"file:{master.data / 'master.db'}?mode=ro", uri=True)) as db:
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


def main(quick: bool = False) -> Section:
    """Measure."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        with LocalMaster(folder / "master", slots=TRIALS) as master:
            runs = live_runs(master, folder)
            took, elapsed = asyncio.run(load(master.port, runs, SECONDS / 4 if quick else SECONDS))
            lost = len(took) - stored(master)
        syncs = syncs_per_s(folder)
    rate = len(took) / elapsed
    times = [1000 * t for t in took]
    head = ["trials", "idle polls", "reports/s", "p50 ms", "p99 ms", "lost", "appends with fsync/s, alone"]
    row = [TRIALS, POLLS, f"{rate:.0f}", f"{percentile(times, 0.5):.1f}", f"{percentile(times, 0.99):.1f}"]
    text = table("Durable metric reports", head, [[*row, lost, f"{syncs:.0f}"]])
    checks = (
        Check(f"at least {TARGET_PER_S} reports/s", rate, rate >= TARGET_PER_S),
        Check("no report lost", lost, lost == 0),
    )
    return Section("reports", text, {"per_s": rate, "p50_ms": percentile(times, 0.5)}, checks)


if __name__ == "__main__":
    section = main()
    print(section)
    sys.exit(not section.met)
