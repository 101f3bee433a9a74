"""A master that goes on with a search that was recorded up to its middle, and trials that report to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3

from bench.load import Run
from determined.testing.cluster import LocalMaster

SLOTS = 64


def record(data: Path, trials: int, *, unfinished: bool = False) -> None:
    """Fill the data folder of a master with one recorded search, in a process of its own."""
    more = ["--unfinished"] if unfinished else []
    command = [sys.executable, "-m", "determined.testing.ui_fixture", "--trials", str(trials), *more, str(data)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def live_master(folder: Path) -> Iterator[tuple[LocalMaster, list[Run]]]:
    """A master on such a folder, whose runs exist only in name; those that it has started."""
    fifo = folder / "runs"
    os.mkfifo(fifo)
    master = LocalMaster(folder, slots=SLOTS)
    master.module = ["bench.hold_master", str(fifo)]
    runs: list[Run] = []
    all_there = threading.Event()

    def listen() -> None:
        with fifo.open() as told:
            for line in told:
                runs.append(Run(**json.loads(line)))
                if len(runs) >= SLOTS:
                    all_there.set()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    with master:
        if not all_there.wait(120):
            raise RuntimeError(f"only {len(runs)} of {SLOTS} trials went on:\n{master.log}")
        yield master, runs
    thread.join()


class Reporter:
    """A trial that reports validations, each farther than the one before."""

    def __init__(self, master: LocalMaster, run: Run) -> None:
        self.run = run
        # It opens a new connection where the master has closed an idle one.
        self._pool = urllib3.HTTPConnectionPool("127.0.0.1", master.port, maxsize=1, retries=False)
        with master.session() as session:
            self.steps = int(session.get(f"/api/v1/trials/{run.trial}")["trial"]["totalBatchesProcessed"])

    def report(self, value: float) -> None:
        """One more; back when it is durable."""
        self.steps += 1
        body: dict[str, Any] = {"trial_run_id": self.run.run, "steps_completed": self.steps}
        body["metrics"] = {"avg_metrics": {"val_loss": value, "val_acc": 1 / (1 + value)}}
        headers = {"Grpc-Metadata-x-allocation-token": f"Bearer {self.run.token}", "Content-Type": "application/json"}
        path = f"/api/v1/trials/{self.run.trial}/validation_metrics"
        answer = self._pool.request("POST", path, body=json.dumps(body), headers=headers)
        if answer.status != 200:
            raise RuntimeError(f"a report was answered with {answer.status}: {answer.data[:500]!r}")

    def close(self) -> None:
        """Let the connection go."""
        self._pool.close()


@contextmanager
def chatter(reporters: Sequence[Reporter], every_s: float) -> Iterator[None]:
    """Meanwhile all of these trials report middling values, each so often, one after the other."""
    over = threading.Event()

    def talk() -> None:
        begin, turn = time.monotonic(), 0
        while not over.is_set():
            reporters[turn % len(reporters)].report(1.5 + 0.001 * (turn % 97))
            turn += 1
            # What was late is not made up for in a burst.
            begin = max(begin, time.monotonic() - turn * every_s / len(reporters) - every_s)
            over.wait(max(0.0, begin + turn * every_s / len(reporters) - time.monotonic()))

    thread = threading.Thread(target=talk, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
