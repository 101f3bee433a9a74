"""The model itself: the log misses nothing, the disk forgets as disks do, and no sync goes unnoticed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.power import sqlite_calls, test_power_loss
from tests.power.disk import SECTOR, Disk, Loss
from tests.power.log import Call
from tests.power.test_power_loss import Lost, cuts, record, soon_lost
from tests.power.workloads import WORKLOADS

UNSEEN = {
    ("store", "folder of settle in _create_file"): "for what a dead process left, see test_restarts.py; SQLite itself "
    "syncs the folder with the first sync of its log",
    ("deterministic", "folder of make_folder in _write_method"): "making the next folder beside it syncs the name too",
    ("checkpoints", "folder of make_folder in begin"): "the home of unfinished checkpoints, which leave it",
    ("shards", "folder of make_folder in begin"): "the home of unfinished checkpoints, which leave it",
}
"""Syncs without which these workloads lose nothing, and why."""

Recorded = Callable[[str], tuple[str, list[Call]]]


@pytest.fixture(scope="module")
def recorded() -> Iterator[Recorded]:
    """The calls of a workload, and the folder that it left."""
    kept: dict[str, tuple[str, list[Call]]] = {}
    with tempfile.TemporaryDirectory() as home:

        def get(name: str) -> tuple[str, list[Call]]:
            if name == "store" and sqlite_calls.library() is None:
                pytest.skip("Python has SQLite built in, so its file calls cannot be recorded")
            if name not in kept:
                kept[name] = record(name, Path(home).resolve())
            return kept[name]

        yield get


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every name below a folder, with the bytes of files."""
    found = sorted(folder.rglob("*"))
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in found}


def loses(name: str, root: str, calls: list[Call], place: Path, without: str) -> bool:
    """Whether some cut loses something without this sync."""
    try:
        soon_lost(name, root, calls, place, without)
    except Lost:
        return True
    return False


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_disk_that_forgets_nothing_holds_what_the_real_one_holds(
    name: str, recorded: Recorded, tmp_path: Path
) -> None:
    root, calls = recorded(name)
    disk = Disk(root)
    for call in calls:
        disk.play(call)
    disk.after(Loss("none"), tmp_path / "found")
    assert contents(tmp_path / "found") == contents(Path(root)) != {}


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_sync_is_needed_or_known_not_to_be(name: str, recorded: Recorded, tmp_path: Path) -> None:
    root, calls = recorded(name)
    sites = {call.site for call in calls if call.site}
    unseen = {site for workload, site in UNSEEN if workload == name}
    assert unseen <= sites
    assert [site for site in sorted(sites - unseen) if not loses(name, root, calls, tmp_path, site)] == []


def test_a_generation_has_its_name_after_the_parts_that_it_needs(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, calls = recorded("runner")
    made = {
        number for number, call in enumerate(calls) if call.kind == "make_folder" and call.path.endswith("/.saving")
    }
    # Only where there are new ones.
    synced = {number for number, call in enumerate(calls) if number - 1 in made and call.kind == "sync_folder"}
    assert 0 < len(synced) < len(made)
    weakened = [call for number, call in enumerate(calls) if number not in synced]
    # Later ones have another before them, from which the search can go on.
    first = next(number for number, call in enumerate(weakened) if call.target.endswith("event_1"))
    monkeypatch.setattr(test_power_loss, "LOSSES", [("some", seed) for seed in range(40)])
    with pytest.raises(Lost, match=r"events\.jsonl cannot be read"):
        cuts("runner", root, weakened[: first + 1], tmp_path, 1)


def found_after(place: Path, loss: Loss, *calls: Call) -> dict[str, bytes | None]:
    """What the calls leave on a disk."""
    disk = Disk("/r")
    for call in calls:
        disk.play(call)
    disk.after(loss, place)
    return contents(place)


NAME, BYTES = Call("make", "/r/a"), Call("write", "/r/a", b"x" * 4 * SECTOR)
SYNC, SYNC_FOLDER = Call("sync", "/r/a"), Call("sync_folder", "/r")


@pytest.mark.parametrize(
    ("calls", "found"),
    [
        ([NAME, BYTES, SYNC], {}),
        ([NAME, BYTES, SYNC_FOLDER], {"a": b""}),
        ([NAME, BYTES, SYNC, SYNC_FOLDER], {"a": BYTES.data}),
        ([NAME, BYTES, SYNC, SYNC_FOLDER, Call("remove", "/r/a")], {"a": BYTES.data}),
        ([NAME, BYTES, SYNC, SYNC_FOLDER, Call("cut", "/r/a", at=1)], {"a": BYTES.data}),
        ([NAME, BYTES, SYNC, SYNC_FOLDER, Call("rename", "/r/a", target="/r/b")], {"a": BYTES.data}),
        ([NAME, BYTES, SYNC, Call("rename", "/r/a", target="/r/b"), SYNC_FOLDER], {"b": BYTES.data}),
        ([Call("make_folder", "/r/d"), Call("make", "/r/d/a"), Call("sync_folder", "/r/d")], {}),
        ([Call("make_folder", "/r/d"), Call("make", "/r/d/a"), SYNC_FOLDER], {"d": None}),
    ],
)
def test_only_what_was_synced_is_safe(calls: list[Call], found: dict[str, bytes | None], tmp_path: Path) -> None:
    assert found_after(tmp_path, Loss("all"), *calls) == found


def test_what_was_not_synced_may_be_there_may_be_missing_or_torn_between_sectors(tmp_path: Path) -> None:
    sizes = set()
    for seed in range(60):
        place = tmp_path / str(seed)
        data = found_after(place, Loss("some", seed), NAME, SYNC_FOLDER, BYTES).get("a")
        assert data is not None
        sizes.add(len(data))
    assert sizes == {0, SECTOR, 2 * SECTOR, 3 * SECTOR, 4 * SECTOR}


def test_of_two_writes_either_may_be_lost(tmp_path: Path) -> None:
    first, second = Call("write", "/r/a", b"1"), Call("write", "/r/a", b"2", at=1)
    seen = {
        found_after(tmp_path / str(seed), Loss("some", seed), NAME, SYNC_FOLDER, first, second).get("a")
        for seed in range(60)
    }
    assert seen == {b"", b"1", b"12", b"\x002"}


def test_a_rename_happens_as_a_whole(tmp_path: Path) -> None:
    rename = Call("rename", "/r/a", target="/r/b")
    for seed in range(20):
        found = found_after(tmp_path / str(seed), Loss("some", seed), NAME, SYNC_FOLDER, rename)
        assert list(found) in (["a"], ["b"])
