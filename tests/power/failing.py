"""Plays the store on a disk that fails once: ``python -m tests.power.failing FOLDER``.

One order a line on standard input, ``{"kind", "number", "code"}``: the call of this kind and number fails with this
code of SQLite's; ``number`` 0 fails none. One answer a line: ``{"problem", "calls"}``, where ``calls`` are all calls of
that kind and ``problem`` is "" when everything held. Each order is played in a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from determined.errors import StorageFailed
from determined.storage import protocol as p
from determined.storage.sql import SqlStore
from determined.testing.store_factories import make_experiment, make_fact, make_trial, validated
from tests.power.log import Log
from tests.power.sqlite_calls import Recorder

UNITS = 24


async def _opened(url: str) -> SqlStore:
    """A store; one whose disk failed while it was opened is opened again, as people would."""
    store = SqlStore(url)
    try:
        await store.open()
    except StorageFailed:
        await store.close()
        store = SqlStore(url)
        await store.open()
    return store


async def _write(folder: Path) -> set[int]:
    """Numbers of the units that were acknowledged."""
    store = await _opened(f"sqlite:///{folder}/store.db")
    begin: list[p.Mutation] = [p.InsertExperiment(make_experiment(1)), p.InsertTrial(make_trial(1))]
    try:
        await store.write(begin)
    except StorageFailed:
        await store.write(begin)
    acknowledged: set[int] = set()

    async def unit(number: int) -> None:
        try:
            await store.write([p.AppendJournal(make_fact(number)), validated(1, number, 1.0 / number)])
        except StorageFailed:
            return
        acknowledged.add(number)

    for first in range(1, UNITS, 2):
        await asyncio.gather(unit(first), unit(first + 1))
    refused = set(range(1, UNITS + 1)) - acknowledged
    # The disk failed once, so what it refused can be stored now.
    for number in refused:
        await unit(number)
    await store.close()
    return acknowledged


def play(folder: Path, order: dict[str, Any], out: int) -> None:
    """One order; the answer goes to ``out``."""
    count = 0

    def fail(kind: str) -> int:
        nonlocal count
        count += kind == order["kind"]
        return int(order["code"]) if kind == order["kind"] and count == order["number"] else 0

    from sqlalchemy import Engine, event

    @event.listens_for(Engine, "connect")
    def checkpoint_often(connection: Any, _: object) -> None:
        connection.execute("PRAGMA wal_autocheckpoint = 8")

    recorder = Recorder(Log(), str(folder), fail)
    problem = ""
    try:
        acknowledged = asyncio.run(_write(folder))
        problem = _problem(folder, acknowledged)
    except BaseException as error:
        problem = repr(error)
    del recorder
    os.write(out, json.dumps({"problem": problem, "calls": count}).encode())


def _problem(folder: Path, acknowledged: set[int]) -> str:
    if acknowledged != set(range(1, UNITS + 1)):
        return f"a disk that failed once still refuses {set(range(1, UNITS + 1)) - acknowledged}"
    with closing(sqlite3.connect(folder / "store.db")) as db:
        if (found := db.execute("PRAGMA integrity_check").fetchall()) != [("ok",)]:
            return f"the data base is damaged: {found}"
        stored = [n for (n,) in db.execute("SELECT seq FROM journal ORDER BY seq")]
        reports = [n for (n,) in db.execute("SELECT steps FROM metrics ORDER BY steps")]
    if stored != sorted(acknowledged) or reports != stored:
        return f"acknowledged are {sorted(acknowledged)}, stored are {stored} with the reports {reports}"
    return ""


def main() -> None:
    """Serve orders."""
    home = Path(sys.argv[1]).resolve()
    for line in sys.stdin:
        folder = home / "store"
        folder.mkdir()
        end, out = os.pipe()
        pid = os.fork()
        if pid == 0:
            play(folder, json.loads(line), out)
            os._exit(0)
        os.close(out)
        with os.fdopen(end) as told:
            answer = told.read()
        os.waitpid(pid, 0)
        shutil.rmtree(folder)
        print(answer or json.dumps({"problem": "it died", "calls": 0}), flush=True)


if __name__ == "__main__":
    main()
