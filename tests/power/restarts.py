"""Programs that die or lose power, start again, and then lose power: ``python -m tests.power.restarts``.

What a process finds after the death of another one may still be on its way to the disk. Whoever goes on from it, or
tells others of it, has to bring it there first: the dead process cannot. One order on standard input, as JSON, and one
answer on standard output. Every life is a fork, since the recorders cannot be taken away again.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import os
import pickle
import random
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, event

from determined import files, searcher
from determined.domain.events import InitialOperations, TrialProgress
from determined.domain.ids import ExperimentId
from determined.domain.search_method import apply_event
from determined.errors import DeterminedError, NotFound
from determined.master.app import read_secret
from determined.searcher.event import QueuedEvent
from determined.searcher.folder import SearcherFolder
from determined.searcher.store import SearchStore
from determined.storage import protocol as p
from determined.storage.sql import SqlStore
from determined.testing.store_factories import make_experiment, make_fact, make_trial, validated
from tests.power import python_calls, sqlite_calls
from tests.power.disk import Disk, File, Folder, Loss
from tests.power.log import Call, Log
from tests.power.test_power_loss import check_runner, check_store, demand
from tests.power.workloads import EXPERIMENT, TRIAL, Heard

UNITS: Final = 9
"""Commits of one life; the log moves into the data base in between."""
SAVES: Final = 4
ENDS: Final = [("death", 0), ("all", 0), *(("some", seed) for seed in range(2))]
"""How the first life ends: by a signal, which loses nothing that the system knows, or with the power."""


class Recorder(sqlite_calls.Recorder):
    """Knows that SQLite syncs the folder of a log which it may make, whether it was there or not."""

    def _on_open(self, vfs: int, name: int | None, file: int, flags: int, out_flags: Any) -> int:
        code = super()._on_open(vfs, name, file, flags, out_flags)
        path = self._paths.get(file)
        if code == 0 and path is not None and flags & sqlite_calls._LATER_NAMED:
            self._nameless.add(path)
        return code


# ---- the programs: each starts, or goes on from what it finds, and says what others may now rely on


def live_store(folder: Path, log: Log) -> None:
    """A master's data base that answers from what it finds, and takes more."""

    @event.listens_for(Engine, "connect")
    def move_log_often(connection: Any, _: object) -> None:
        connection.execute("PRAGMA wal_autocheckpoint = 12")

    async def live() -> None:
        store = SqlStore(f"sqlite:///{folder}/store.db")
        await store.open()
        try:
            await store.get_experiment(ExperimentId(1))
        except NotFound:
            await store.write([p.InsertExperiment(make_experiment(1)), p.InsertTrial(make_trial(1))])
        seen = len(await store.read_journal(ExperimentId(1), 0, 10_000))
        log.ack(1 + seen)
        for number in range(seen + 1, seen + 1 + UNITS):
            await store.write([p.AppendJournal(make_fact(number)), validated(1, number, 1.0 / number)])
            log.ack(1 + number)
        await store.close()

    asyncio.run(live())


def live_runner(folder: Path, log: Log) -> None:
    """A local search: which experiment it is about, and what of it was answered."""
    home = SearcherFolder(folder / "home" / "search")
    with home.held():
        _search(home, log)


def _search(home: SearcherFolder, log: Log) -> None:
    key = home.decide("cluster", "http://127.0.0.1:8080").client_key.encode()
    log.add(Call("ack", at=1, data=key))
    if home.experiment_id() is None:
        home.record_experiment(EXPERIMENT)
    log.add(Call("ack", at=2, data=key))
    saved, method, state = SearchStore(home.path / f"exp_{EXPERIMENT}", EXPERIMENT), Heard(), searcher.SearcherState()
    state.last_event_id = 0
    if saved.is_empty():
        saved.start(method, state)
        saved.save(method, state, [], [searcher.Progress(0.0)])
    else:
        state, _ = saved.load(method)
        # Its operations are sent (again) now.
        log.add(Call("ack", at=2 + state.last_event_id, data=key))
    newest = max(state.last_event_id, 0)
    for number in range(newest + 1, newest + 1 + SAVES):
        happened = InitialOperations() if number == 1 else TrialProgress(TRIAL, float(number))
        apply_event(state, happened)
        state.last_event_id = method.last = number
        saved.save(method, state, [QueuedEvent(number, happened)], [searcher.Progress(number / 100)])
        log.add(Call("ack", at=2 + number, data=key))
        saved.tidy()


def live_compacting(folder: Path, log: Log) -> None:
    """The same, where each save starts a new log of events."""
    from determined.searcher import answers, lineage

    answers.MOST, lineage._COMPACT_BYTES = 0, 1
    live_runner(folder, log)


def _identity(folder: Path) -> bytes:
    data = folder / "home" / "data"
    files.make_folder(data, "master.data", 0o700)

    async def cluster() -> str:
        store = SqlStore(f"sqlite:///{data}/master.db")
        await store.open()
        found = await store.get_meta("cluster_id", os.urandom(8).hex())
        await store.close()
        return found

    return asyncio.run(cluster()).encode() + read_secret(data)


def live_master(folder: Path, log: Log) -> None:
    """What a master is known by, and signs with."""
    log.add(Call("ack", at=1, data=_identity(folder)))


def _check_store(folder: Path, promised: Call) -> None:
    check_store(folder, promised.at)


def _check_runner(folder: Path, promised: Call) -> None:
    check_runner(folder, promised.at)
    if promised.at:
        intent = SearcherFolder(folder / "home" / "search").intent()
        demand(intent is not None and intent.client_key.encode() == promised.data, "another experiment would be made")


def _check_master(folder: Path, promised: Call) -> None:
    found = _identity(folder)
    demand(not promised.at or found == promised.data, "it is another master")


PROGRAMS: Mapping[str, tuple[Callable[[Path, Log], None], Callable[[Path, Call], None]]] = {
    "store": (live_store, _check_store),
    "runner": (live_runner, _check_runner),
    "compacting": (live_compacting, _check_runner),
    "master": (live_master, _check_master),
}


# ---- lives and ends

_KEPT: Final[list[Recorder]] = []
"""SQLite calls it until the process ends."""


def _in_fork(work: Callable[[], Any], answer: Path) -> Any:
    """What the function gives, when a process of its own runs it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            answer.write_bytes(pickle.dumps(work()))
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if status:
        raise RuntimeError(f"a life ended with status {status}; see above")
    return pickle.loads(answer.read_bytes())


def _live(name: str, folder: Path, root: str, without: str) -> list[Call]:
    """Let a program live in a folder; its calls, as if the folder were ``root``. Only in a fork."""
    log = Log()
    _KEPT.append(Recorder(log, str(folder)))
    python_calls.record(log, str(folder))
    PROGRAMS[name][0](folder, log)
    moved = [
        dataclasses.replace(
            call,
            path=call.path.replace(str(folder), root, 1),
            target=call.target.replace(str(folder), root, 1),
        )
        for call in list(log.calls)
    ]
    return [call for call in moved if not (without and call.site.startswith(without))]


def _forget(node: File | Folder, loss: Loss) -> None:
    """Lose what was not safe; the rest is."""
    if isinstance(node, File):
        node.safe, node.pending = bytearray(node.after(loss)), []
        return
    node.safe = node.after(loss)
    node.now, node.pending = dict(node.safe), []
    for _, inner in sorted(node.safe.items()):
        _forget(inner, loss)


def _cuts(calls: Sequence[Call], rng: random.Random) -> Iterator[tuple[int, Loss, str]]:
    """Where the power goes in the second life: when somebody was told something, and a few times between."""
    told = [number for number, call in enumerate(calls) if call.kind == "ack"]
    # What was found is told first, before anything new brings it to the disk.
    for number in {*told[:3], *rng.sample(told, min(2, len(told)))}:
        yield number, Loss("all"), "all"
    for _ in range(3):
        seed = rng.randrange(1 << 30)
        yield rng.randrange(len(calls)), Loss("some", seed), f"some {seed}"


def _second_life(order: Mapping[str, Any], disk: Disk, promised: Call, end: tuple[str, int], number: int) -> Any:
    """Play what comes after the first life, up to every end of it; (cuts, problem). Only in a fork."""
    name, place = order["name"], Path(order["place"])
    if end[0] != "death":
        _forget(disk._top, Loss(end[0], end[1] * 1_000_003 + number))
    now, after = place / "now", place / "after"
    disk.after(Loss("none"), now)
    told = f"the first life ends after call {number} ({' '.join(map(str, end))})"
    try:
        calls = _live(name, now, str(place / "root"), order["without"])
    except (AssertionError, DeterminedError, OSError, ValueError, sqlite3.DatabaseError) as error:
        return 0, f"{told}, and no second can begin: {error!r}"
    finally:
        shutil.rmtree(now)
    played = count = 0
    for until, loss, kind in sorted(_cuts(calls, random.Random(number)), key=lambda cut: cut[0]):
        for call in calls[played : until + 1]:
            if call.kind == "ack":
                if call.at < promised.at and call.at > 2:
                    return count, f"{told}; the second life goes on from {call.at}, promised was {promised.at}"
                promised = max(promised, call, key=lambda ack: ack.at)
            else:
                disk.play(call)
        played = until + 1
        disk.after(loss, after)
        try:
            PROGRAMS[name][1](after, promised)
        except (AssertionError, DeterminedError, OSError, ValueError, sqlite3.DatabaseError) as error:
            what = calls[until]
            return count, f"{told}, the second after {until} ({what.kind} {what.path}), losing {kind}: {error!r}"
        finally:
            shutil.rmtree(after)
        count += 1
    return count, ""


def play(order: Mapping[str, Any]) -> dict[str, Any]:
    """Play every ``share``-th end of the first life and what follows, until something is lost.

    Where a sync is taken out, only deaths just before a sync are played: they leave the most to lose.
    """
    name, place, share = order["name"], Path(order["place"]), order["share"]
    root, answer = place / "root", place / "answer"
    root.mkdir()
    first = _in_fork(lambda: _live(name, root, str(root), ""), answer)
    disk, promised, lives, cuts = Disk(str(root)), Call("ack"), 0, 0
    for number, call in enumerate(first):
        if call.kind == "ack":
            promised = call
        elif not (order["without"] and call.site.startswith(order["without"])):
            disk.play(call)
        syncs_next = number + 1 < len(first) and first[number + 1].kind in ("sync", "sync_folder")
        for shift, end in enumerate(ENDS):
            if (number + shift) % share or (order["without"] and (end[0] != "death" or not syncs_next)):
                continue
            life = functools.partial(_second_life, order, disk, promised, end, number)
            count, problem = _in_fork(life, answer)
            lives, cuts = lives + 1, cuts + count
            if problem:
                return {"lives": lives, "cuts": cuts, "problem": problem}
    return {"lives": lives, "cuts": cuts, "problem": ""}


def main() -> None:
    """Play one order."""
    json.dump(play(json.load(sys.stdin)), sys.stdout)


if __name__ == "__main__":
    main()
