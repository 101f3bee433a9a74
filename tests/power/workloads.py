"""Records what a workload asks of the file system: ``python -m tests.power.workloads NAME FOLDER LOG``.

Each workload is a process of its own, since the recorders cannot be taken away again. What it was told to be stored is
acknowledged in the log, with a number that rises.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import sys
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from determined import files, searcher
from determined.core._storage import LocalStorage
from determined.domain.events import InitialOperations, TrialProgress
from determined.domain.search_method import apply_event
from determined.launchers import paths
from determined.searcher import answers, lineage
from determined.searcher.event import QueuedEvent
from determined.searcher.folder import SearcherFolder
from determined.searcher.store import SearchStore
from tests.power import python_calls, sqlite_calls
from tests.power.log import Log

WEAKENED = "DET_TEST_SYNCHRONOUS_NORMAL"
UNITS = 60
SAVES = 12
CHECKPOINTS = 4
EXPERIMENT = 7
TRIAL = uuid.UUID(int=1)


async def _store(folder: Path, log: Log) -> None:
    from sqlalchemy import Engine, event
    from sqlalchemy.pool import Pool

    from determined.storage import protocol as p
    from determined.storage.sql import SqlStore
    from determined.testing.store_factories import make_experiment, make_fact, make_trial, validated

    @event.listens_for(Engine, "connect")
    def checkpoint_often(connection: Any, _: object) -> None:
        connection.execute("PRAGMA wal_autocheckpoint = 12")

    if WEAKENED in os.environ:

        @event.listens_for(Pool, "checkout")
        def weaken(connection: Any, *_: object) -> None:
            connection.execute("PRAGMA synchronous = NORMAL")

    store = SqlStore(f"sqlite:///{folder}/store.db")
    await store.open()
    await store.write([p.InsertExperiment(make_experiment(1)), p.InsertTrial(make_trial(1))])
    log.ack(0)

    async def unit(number: int) -> None:
        await store.write([p.AppendJournal(make_fact(number)), validated(1, number, 1.0 / number)])
        log.ack(number)

    for first in range(1, UNITS, 3):
        await asyncio.gather(*(unit(number) for number in range(first, first + 3)))
    await store.close()


def store(folder: Path, log: Log) -> None:
    """The master's data base: made, filled by groups of commits, its log moved into it again and again."""
    asyncio.run(_store(folder, log))


class Heard(searcher.SearchMethod):
    """Its state is the number of the last event that it heard of."""

    def __init__(self) -> None:
        self.last = 0

    def initial_operations(self, state: searcher.SearcherState) -> list[searcher.Operation]:
        return []

    def on_trial_created(self, state: searcher.SearcherState, request_id: uuid.UUID) -> list[searcher.Operation]:
        return []

    def on_validation_completed(
        self, state: searcher.SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[searcher.Operation]:
        return []

    def on_trial_closed(self, state: searcher.SearcherState, request_id: uuid.UUID) -> list[searcher.Operation]:
        return []

    def on_trial_exited_early(
        self, state: searcher.SearcherState, request_id: uuid.UUID, exited_reason: searcher.ExitedReason
    ) -> list[searcher.Operation]:
        return []

    def progress(self, state: searcher.SearcherState) -> float:
        return 0.0

    def save_method_state(self, path: Path) -> None:
        (path / "own").mkdir()
        (path / "own" / "last").write_text(f"{self.last}\n" * 300)

    def load_method_state(self, path: Path) -> None:
        lines = (path / "own" / "last").read_text().split()
        assert len(lines) == 300, "half of a method's file"
        assert len(set(lines)) == 1, "a mixture"
        self.last = int(lines[0])


class HeardAgain(Heard):
    """The same, found again from the events that it heard of."""

    deterministic = True

    def initial_operations(self, state: searcher.SearcherState) -> list[searcher.Operation]:
        self.last = 1
        return [searcher.Progress(0.01)]

    def progress(self, state: searcher.SearcherState) -> float:
        self.last = int(state.trial_progress[TRIAL])
        return self.last / 100


def deterministic(folder: Path, log: Log) -> None:
    """The same for a method that is saved only when the log of events begins anew, at every other generation."""
    lineage._COMPACT_BYTES = 100
    runner(folder, log, HeardAgain(), most=1)


def runner(folder: Path, log: Log, method: Heard | None = None, most: int = 2) -> None:
    """The folder of a local search: the intent, the experiment, and one saved state after the other.

    Args:
        most: answers between two generations.
    """
    answers.MOST = most
    method = method or Heard()
    home = SearcherFolder(folder / "home" / "search")
    intent = home.decide("cluster", "http://127.0.0.1:8080")
    (folder.parent / "key").write_text(intent.client_key)
    log.ack(1)
    home.record_experiment(EXPERIMENT)
    log.ack(2)
    saved, state = SearchStore(home.path / f"exp_{EXPERIMENT}", EXPERIMENT), searcher.SearcherState()
    saved.start(method, state)
    for number in range(1, SAVES + 1):
        happened = InitialOperations() if number == 1 else TrialProgress(TRIAL, float(number))
        apply_event(state, happened)
        state.last_event_id = number
        method.last = number
        saved.save(method, state, [QueuedEvent(number, happened)], [searcher.Progress(number / 100)])
        log.ack(2 + number)
        saved.tidy()


def checkpoints(folder: Path, log: Log) -> None:
    """Checkpoints of a trial, one of which is deleted."""
    storage = LocalStorage(folder / "checkpoints", owner="trial")
    names = [str(uuid.UUID(int=number)) for number in range(1, CHECKPOINTS + 1)]
    for number, name in enumerate(names, 1):
        begun = storage.begin(name)
        (begun / "weights").mkdir()
        (begun / "weights" / "large").write_bytes(bytes([number]) * 3000)
        (begun / "small").write_text(str(number))
        storage.publish(name, begun, {"steps_completed": number})
        log.ack(number)


def shards(folder: Path, log: Log) -> None:
    """Checkpoints of two ranks: what one has moved, and what the other has copied."""
    storage = LocalStorage(folder / "checkpoints", owner="trial")
    for number in range(1, 4):
        name = str(uuid.UUID(int=number))
        first, second = storage.begin_shard(name, 0), storage.begin_shard(name, 1)
        (first / "weights").mkdir()
        (first / "weights" / "large").write_bytes(bytes([number]) * 3000)
        (second / "small").write_text(str(number))
        storage.add_shard(name, first, ["weights/", "weights/large"], keep=False)
        storage.add_shard(name, second, ["small"], keep=True)
        storage.publish_shards(
            name, {"weights/": 0, "weights/large": 3000, "small": len(str(number))}, {"steps_completed": number}
        )
        storage.abandon(first)
        storage.abandon(second)
        log.ack(number)


def small_files(folder: Path, log: Log) -> None:
    """Secrets, logins and the like: made with their folders, and replaced."""
    home = folder / "a" / "b"
    files.make_folder(home, "home", 0o700)
    for number in range(1, 6):
        files.replace_file(home / "secret", f"{number}\n".encode() * 400, "secret", 0o600)
        log.ack(number)


def run_end(folder: Path, log: Log) -> None:
    """The record of a run's end, in a folder that is known to last."""
    for number in range(1, 4):
        run = folder / f"run-{number}"
        files.make_folder(run, "run")
        paths.write_atomic(run / paths.EXIT, json.dumps({"code": number, "at": 0, "reason": ""}), "exit")
        log.ack(number)


WORKLOADS: Mapping[str, Callable[[Path, Log], None]] = {
    work.__name__: work for work in (store, runner, deterministic, checkpoints, shards, small_files, run_end)
}


def main() -> None:
    """Play one workload and write down its calls."""
    name, folder, out = sys.argv[1], Path(sys.argv[2]).resolve(), Path(sys.argv[3])
    log = Log()
    # Held to the end: SQLite calls it.
    recorder = sqlite_calls.Recorder(log, str(folder)) if name == "store" else None
    python_calls.record(log, str(folder))
    WORKLOADS[name](folder, log)
    calls = list(log.calls)
    out.write_bytes(pickle.dumps(calls))
    del recorder


if __name__ == "__main__":
    main()
