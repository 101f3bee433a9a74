"""The power goes at any moment: what somebody was told is stored is there, and what is there can be worked on with.

Real code, real SQLite; the disk is a model that forgets what was not synced. ``DET_POWER_SHARE=n`` plays every n-th
cut; ``make power`` plays all.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from determined.core._storage import LocalStorage
from determined.errors import DeterminedError
from determined.launchers import paths
from determined.searcher.folder import SearcherFolder
from determined.searcher.store import SearchStore
from determined.storage.sql import SqlStore
from tests.power import sqlite_calls
from tests.power.disk import Disk, Loss
from tests.power.log import Call
from tests.power.workloads import CHECKPOINTS, EXPERIMENT, SAVES, UNITS, WEAKENED, WORKLOADS, Heard, HeardAgain

ROOT = Path(__file__).parent.parent.parent
SHARE = max(int(os.environ.get("DET_POWER_SHARE", "12")), 1)
LOSSES = [("all", 0), ("none", 0), *(("some", seed) for seed in range(4))]

pytestmark = pytest.mark.timeout(3600)


class Lost(AssertionError):
    """Something that was acknowledged is gone, or what is left cannot be used."""


def demand(held: object, what: str) -> None:
    if not held:
        raise Lost(what)


@pytest.fixture(scope="module")
def recorded() -> Iterator[Callable[[str], tuple[str, list[Call]]]]:
    """The calls of a workload, and the folder that it worked in; recorded once."""
    kept: dict[str, tuple[str, list[Call]]] = {}
    with tempfile.TemporaryDirectory() as home:

        def get(name: str) -> tuple[str, list[Call]]:
            if name == "store" and sqlite_calls.library() is None:
                pytest.skip("Python has SQLite built in, so its file calls cannot be recorded")
            if name not in kept:
                kept[name] = record(name, Path(home).resolve())
            return kept[name]

        yield get


def record(name: str, home: Path, **env: str) -> tuple[str, list[Call]]:
    folder = home / name / "root"
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "tests.power.workloads", name, str(folder), str(folder.parent / "log")]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **env}, check=True)
    return str(folder), pickle.loads((folder.parent / "log").read_bytes())


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as home:
        yield Path(home)


# ---- what must hold after each workload


def check_store(folder: Path, acks: int) -> None:
    """Acknowledged commits are there, none is half there, and the master can go on with the data base."""

    async def go_on() -> None:
        store = SqlStore(f"sqlite:///{folder}/store.db")
        await store.open()
        await store.close()

    asyncio.run(go_on())
    with closing(sqlite3.connect(folder / "store.db")) as db:
        demand(db.execute("PRAGMA integrity_check").fetchall() == [("ok",)], "the data base is damaged")
        stored = {n for (n,) in db.execute("SELECT seq FROM journal")}
        reports = {n for (n,) in db.execute("SELECT steps FROM metrics")}
        experiments = db.execute("SELECT count(*) FROM experiments").fetchone()[0]
    demand(stored == reports, "a commit is half there")
    demand(acks < 1 or experiments == 1, "the experiment is gone")
    # Commits of one group are acknowledged one after the other.
    demand(len(stored) >= acks - 1, f"{acks - 1} commits were acknowledged, {len(stored)} are left")


def check_deterministic(folder: Path, acks: int) -> None:
    """The same for a method that is found again from its events."""
    check_runner(folder, acks, HeardAgain())


def check_runner(folder: Path, acks: int, method: Heard | None = None) -> None:
    """The runner finds its experiment and its newest state, or may begin."""
    method = method or Heard()
    home = SearcherFolder(folder / "home" / "search")
    intent = home.intent()
    demand(acks < 1 or intent is not None, "the intent is gone")
    demand(acks < 2 or home.experiment_id() == EXPERIMENT, "the experiment's number is gone")
    saved = SearchStore(home.path / f"exp_{EXPERIMENT}", EXPERIMENT)
    if saved.is_empty():
        return demand(acks < 3, "the saved states are gone")
    state, operations = saved.load(method)
    demand(state.last_event_id >= acks - 2, f"state {acks - 2} was saved, {state.last_event_id} is left")
    demand(method.last == state.last_event_id, "the method's state and the search's are of different times")
    demand([op.progress for op in operations] == [method.last / 100], "operations of another time")  # type: ignore[union-attr]
    demand(max(state.trial_progress.values(), default=min(method.last, 1)) == float(method.last), "events are missing")
    return None


def check_checkpoints(folder: Path, acks: int) -> None:
    """Every checkpoint that has its name is whole."""
    storage = LocalStorage(folder / "checkpoints", owner="trial")
    for number in range(1, CHECKPOINTS + 1):
        name = str(uuid.UUID(int=number))
        if not (storage.root / name).exists():
            demand(number > acks, f"checkpoint {number} is gone")
            continue
        with storage.open(name) as found:
            demand((found / "weights" / "large").read_bytes() == bytes([number]) * 3000, "half of a large file")
            demand((found / "small").read_text() == str(number), "half of a small file")
            demand(json.loads((found / "metadata.json").read_text()) == {"steps_completed": number}, "no metadata")
    storage.discard_partial()


def check_small_files(folder: Path, acks: int) -> None:
    """The old bytes or the new ones."""
    secret = folder / "a" / "b" / "secret"
    if not secret.exists():
        return demand(acks == 0, "the file is gone")
    lines = secret.read_text().split()
    demand(len(lines) == 400 and len(set(lines)) == 1, "neither the old bytes nor the new ones")
    return demand(int(lines[0]) >= acks, f"version {acks} is gone")


def check_run_end(folder: Path, acks: int) -> None:
    """The end of a run is on record."""
    for number in range(1, 4):
        record = paths.read_record(folder / f"run-{number}" / paths.EXIT)
        demand(number > acks or record is not None, f"the end of run {number} is gone")
        demand(record is None or record["code"] == number, "another end")


CHECKS: Mapping[str, Callable[[Path, int], None]] = {
    "store": check_store,
    "runner": check_runner,
    "deterministic": check_deterministic,
    "checkpoints": check_checkpoints,
    "shards": check_checkpoints,
    "small_files": check_small_files,
    "run_end": check_run_end,
}


def cuts(name: str, root: str, calls: Sequence[Call], place: Path, share: int, without: str = "") -> int:
    """Cut the power after every ``share``-th call, in each way; how often that was.

    Args:
        without: this sync is taken out of the product.

    Raises:
        Lost: naming the cut.
    """
    disk, acks, count = Disk(root), 0, 0
    for number, call in enumerate(calls):
        if call.kind == "ack":
            acks += 1
        elif not (without and call.site == without):
            disk.play(call)
        # Promises are tested where they are youngest: right after an acknowledgement.
        if number % share and call.kind != "ack":
            continue
        for kind, seed in LOSSES if number % share == 0 else LOSSES[:1]:
            found = place / "disk"
            disk.after(Loss(kind, seed * 1_000_003 + number), found)
            try:
                CHECKS[name](found, acks)
            except (AssertionError, DeterminedError, OSError, ValueError, sqlite3.DatabaseError) as error:
                told = f"power lost after call {number} ({call.kind} {call.path}), losing {kind} {seed}: {error!r}"
                raise Lost(told) from error
            finally:
                shutil.rmtree(found)
            count += 1
    return count


def soon_lost(name: str, root: str, calls: Sequence[Call], place: Path, without: str = "") -> None:
    """Cut the power right after each acknowledgement, then everywhere; a loss raises."""
    cuts(name, root, calls, place, len(calls), without)
    cuts(name, root, calls, place, 1, without)


@pytest.mark.parametrize("name", WORKLOADS)
def test_no_power_cut_loses_what_was_acknowledged(
    name: str, recorded: Callable[[str], tuple[str, list[Call]]], place: Path
) -> None:
    root, calls = recorded(name)
    assert sum(call.kind == "ack" for call in calls) >= min(UNITS, SAVES, CHECKPOINTS, 3)
    share = SHARE if name == "store" else max(1, SHARE // 6)
    print(f"{cuts(name, root, calls, place, share)} power cuts ({name})")


SITES = {
    "store": ["SQLite, log", "SQLite, data base"],
    "runner": [
        "folder of make_folder",
        "folder of make_folder in make_folder",
        "file of write_file in replace_file",
        "folder of replace_file",
        "file of sync_tree",
        "folder of sync_tree",
        "folder of move",
    ],
    "deterministic": [
        "file of sync_tree in _write_method",
        "folder of sync_tree in _write_method",
        "file of write_file",
    ],
    "checkpoints": [
        "folder of make_folder in make_folder",
        "file of sync_tree in publish",
        "folder of sync_tree in publish",
        "file of write_file in _complete",
        "folder of _complete in publish",
        "folder of move in _complete",
    ],
    "shards": [
        "file of sync_tree in add_shard",
        "folder of sync_tree in add_shard",
        "file of write_file in _complete",
        "folder of _complete in publish_shards",
    ],
    "small_files": [
        "folder of make_folder",
        "folder of make_folder in make_folder",
        "file of write_file in replace_file",
        "folder of replace_file",
    ],
    "run_end": ["folder of make_folder", "file of write_file in replace_file", "folder of replace_file"],
}
"""Every sync that something relies on; SQLite's log without its sync is what ``synchronous = NORMAL`` means."""


@pytest.mark.parametrize(("name", "site"), [(name, site) for name, sites in SITES.items() for site in sites])
def test_without_any_one_sync_something_is_lost(
    name: str, site: str, recorded: Callable[[str], tuple[str, list[Call]]], place: Path
) -> None:
    root, calls = recorded(name)
    sites = {call.site for call in calls if call.site.startswith(site)}
    assert sites, f"nothing is synced at {site!r}; synced is at {sorted({c.site for c in calls if c.site})}"
    for found in sites:
        with pytest.raises(Lost):
            soon_lost(name, root, calls, place, without=found)


def test_with_normal_synchronisation_commits_are_lost(place: Path, tmp_path: Path) -> None:
    if sqlite_calls.library() is None:
        pytest.skip("Python has SQLite built in, so its file calls cannot be recorded")
    root, calls = record("store", tmp_path.resolve(), **{WEAKENED: "1"})
    with pytest.raises(Lost, match=r"gone|acknowledged"):
        soon_lost("store", root, calls, place)
