"""How long a master takes from its start to serving, with a large experiment on record.

A real experiment with ``LIVE`` running trials (processes that sleep), and many more that are finished: those are put
into its data base through the master's own engine and tables, as fast as they go, while the master is dead. Then it is
started, and must serve and have taken up every running trial.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from bench.support import Check, Section, config, submit, table
from determined.domain import facts
from determined.domain.ids import ExperimentId, RunId, TrialId
from determined.domain.operations import Close, Create, ValidateAfter
from determined.master.service.commit import Commits
from determined.master.service.hub import Hub
from determined.master.service.loading import load_lane
from determined.storage.sql import SqlStore
from determined.testing.cluster import LocalMaster

FINISHED = 100_000
LIVE = 100
TARGET_S = 10.0
AT_ONCE = 2_000


def start_live(master: LocalMaster) -> int:
    """An experiment with trials that run until they are killed; returns once each has its process."""
    settings = {**config("climb.py", {"name": "custom"}), "entrypoint": "echo begun; exec sleep 36000"}
    experiment = submit(master, settings)
    operations = []
    for number in range(1, LIVE + 1):
        request_id = str(uuid.UUID(int=number))
        operations += [
            {"createTrial": {"requestId": request_id, "hyperparams": "{}"}},
            {"trialOperation": {"validateAfter": {"requestId": request_id, "length": "10"}}},
        ]
    with master.session() as session:
        body = {"searcherOperations": operations, "triggeredByEvent": {"id": 1, "initialOperations": {}}}
        session.post(f"/api/v1/experiments/{experiment}/searcher_operations", json=body)
        for number in range(1, LIVE + 1):
            for line in session.stream(f"/api/v1/trials/{number}/logs", {"follow": True}):
                if "begun" in line["result"]["message"]:
                    break
    return experiment


async def put_finished(database: Path, experiment: int, count: int) -> None:
    """Trials that were created, trained, closed, and are over."""
    store = SqlStore(f"sqlite:///{database}")
    await store.open()
    try:
        lane = await load_lane(store, await store.get_experiment(ExperimentId(experiment)))
        commits = Commits(store, Hub())
        commits.add(lane)
        at, told = 1.0, None
        for number in range(LIVE + 1, LIVE + count + 1):
            trial, request_id = TrialId(number), uuid.UUID(int=number)
            run: dict[str, Any] = {"trial_id": trial, "run_id": RunId(1)}
            begin = (Create(request_id, '{"lr": 0.01, "width": 64}'), ValidateAfter(request_id, 10), Close(request_id))
            for fact in (
                facts.OperationsPosted(
                    at=at, operations=begin, trigger=lane.engine.last_event, first_trial_id=trial, digest=""
                ),
                facts.SlotsGranted(at=at, **run, slot_ids=(0,), agent="bench"),
                facts.RunSeen(at=at, **run),
                facts.OperationCompleted(at=at, **run, length=10, metric=1 / number),
                facts.ExitAcknowledged(at=at, **run),
                facts.RunExited(at=at, **run, code=0),
            ):
                told = commits.submit(lane, fact)
                at += 0.001
            if told is not None and number % AT_ONCE == 0:
                await told
        if told is not None:
            await told
    finally:
        await store.close()


def measure(finished: int, times: int) -> tuple[float, float]:
    """Seconds from the start of the process to serving, the median, and the size of the data base in bytes."""
    with tempfile.TemporaryDirectory() as folder, LocalMaster(Path(folder), slots=LIVE) as master:
        experiment = start_live(master)
        before = {process.pid for process in master.trial_processes()}
        master.kill()
        asyncio.run(put_finished(master.data / "master.db", experiment, finished))
        took = []
        for _ in range(times):
            begin = time.perf_counter()
            master.start()
            took.append(time.perf_counter() - begin)
            with master.session() as session:
                trials = session.get(f"/api/v1/experiments/{experiment}/trials", params={"limit": LIVE})
                assert trials["pagination"]["total"] == finished + LIVE
                view = next(session.stream(f"/api/v1/experiments/{experiment}/watch"))["result"]["trials"]
                assert (view["running"], view["completed"]) == (LIVE, finished), view
            after = {process.pid for process in master.trial_processes()}
            assert after == before, f"of {len(before)} processes {len(after & before)} are left, {len(after)} run"
            master.kill()
        size = float((master.data / "master.db").stat().st_size)
        master.start()
        assert master.det("e", "kill", str(experiment)).returncode == 0
        return statistics.median(took), size


def main(quick: bool = False) -> Section:
    """A small master and a large one."""
    rows, figures = [], {}
    for finished in (0, FINISHED // 10 if quick else FINISHED):
        seconds, size = measure(finished, 1 if quick else 3)
        rows.append([f"{finished:,}", str(LIVE), f"{size / 2**20:.0f}", f"{seconds:.2f}"])
        figures[f"restart_{finished}_s"] = seconds
    text = table("Restart: from the start of the process to serving", ["finished", "running", "MiB", "s"], rows)
    return Section("restart", text, figures, [Check(f"serving within {TARGET_S:.0f} s", seconds, seconds <= TARGET_S)])


if __name__ == "__main__":
    section = main()
    print(section)
    sys.exit(0 if section.met else 1)
