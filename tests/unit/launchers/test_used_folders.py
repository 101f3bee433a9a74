"""A run gets the folder of another only where it cannot tell it from a new one."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from determined.launchers import paths, prepare
from determined.launchers.deleting import delete_tree
from determined.launchers.used_folders import _SURE_NS, MOST_KEPT, UsedFolders
from determined.testing.launcher_contract import make_context, make_spec
from determined.testing.local_machine import Machine

FILES = {"train.py": "print('train')\n", "pack/help.py": "HELP = 1\n", "empty": ""}
INFO = {"trial.json": '{"token": "secret"}', "cluster.json": "{}"}


class Place:
    """Runs of a launcher, as far as their folders go."""

    def __init__(self, folder: Path) -> None:
        self.runs = folder / "runs"
        self.runs.mkdir()
        self.context = make_context(folder / "context.tgz", FILES)
        self.used = UsedFolders(self.runs)
        self._number = 0

    def begin(self, context: Path | None = None, **more: str) -> Path:
        """The folder of a run that is about to start."""
        self._number += 1
        folder = self.runs / f"1.{self._number}.1"
        folder.mkdir()
        spec = make_spec(folder.name, "true", context=context or self.context, info_files={**INFO, **more})
        prepare.prepare(folder, spec, (), self.used)
        return folder

    def end(self, folder: Path) -> None:
        """The run is over."""
        prepare.clear(folder, self.used)
        assert not os.path.lexists(folder / paths.SCRATCH)

    def kept(self) -> list[Path]:
        """Scratch folders that later runs may get."""
        place = self.runs / paths.USED
        return sorted(place.iterdir()) if place.exists() else []


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Without runs."""
    return Place(tmp_path)


def inode(folder: Path) -> int:
    """Which folder it is."""
    return folder.joinpath(paths.WORK).stat().st_ino


def shown(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """All that a run can see of its scratch folder."""
    found = {}
    for path in sorted(folder.joinpath(paths.SCRATCH).rglob("*")):
        status = path.lstat()
        content = path.read_bytes().replace(str(folder).encode(), b"D") if path.is_file() else b""
        content = content.replace(folder.name.encode(), b"N")
        changed = status.st_mtime_ns if path.is_file() and paths.WORK in str(path) else 0
        found[str(path.relative_to(folder))] = (status.st_mode, changed, content)
    return found


def test_the_next_run_gets_the_same_folder_and_sees_a_new_one(place: Place) -> None:
    first = place.begin(old="old.json")
    seen, work = shown(first), inode(first)
    place.end(first)
    assert len(place.kept()) == 1
    second = place.begin(old="old.json")
    assert (shown(second), inode(second)) == (seen, work)
    assert place.kept() == []


def add(work: Path) -> None:
    """A file, a folder, and a link."""
    work.joinpath("out.bin").write_bytes(b"x" * 1000)
    work.joinpath("pack/__pycache__").mkdir()
    work.joinpath("pack/__pycache__/help.pyc").write_bytes(b"x")
    work.joinpath("link").symlink_to("/")


def test_what_a_run_adds_is_deleted(place: Place) -> None:
    first = place.begin()
    seen, work = shown(first), inode(first)
    add(first / paths.WORK)
    place.end(first)
    second = place.begin()
    assert (shown(second), inode(second)) == (seen, work)


def rewrite(work: Path) -> None:
    """Other text of the same length, and the same time."""
    path = work / "train.py"
    status = path.stat()
    path.write_text(FILES["train.py"].replace("train", "trane"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace_by_link(work: Path) -> None:
    """A link to a file with the same content."""
    path = work / "train.py"
    path.rename(work / "other.py")
    path.symlink_to("other.py")


def replace_folder(work: Path) -> None:
    """A folder that is elsewhere."""
    path = work / "pack"
    path.rename(work.parents[1] / "pack")
    path.symlink_to(work.parents[1] / "pack")


def move_and_link(work: Path) -> None:
    """A link in place of the folder that it was."""
    elsewhere = Path(tempfile.mkdtemp(dir=work.parents[1]), work.name)
    work.rename(elsewhere)
    work.symlink_to(elsewhere)


def replace_by_pipe(path: Path) -> None:
    """Whoever reads or writes it waits for ever."""
    path.unlink()
    os.mkfifo(path, 0o600)


def replace_by_file(folder: Path) -> None:
    """No folder any more."""
    delete_tree(folder)
    folder.write_text("x")


CHANGES: dict[str, Callable[[Path], object]] = {
    "rewritten": rewrite,
    "longer": lambda work: work.joinpath("train.py").write_text("more" * 100),
    "deleted": lambda work: work.joinpath("empty").unlink(),
    "a folder deleted": lambda work: delete_tree(work / "pack"),
    "all deleted": delete_tree,
    "mode": lambda work: work.joinpath("train.py").chmod(0o700),
    "mode of a folder": lambda work: work.joinpath("pack").chmod(0o500),
    "mode of the folder itself": lambda work: work.chmod(0o555),
    "time": lambda work: os.utime(work / "train.py", (1, 1)),
    "a second name": lambda work: os.link(work / "train.py", work.parents[1] / "mine.py"),
    "a link": replace_by_link,
    "a folder is a link": replace_folder,
    "the folder itself is a link": move_and_link,
    "a pipe": lambda work: replace_by_pipe(work / "empty"),
    "a file beside it": lambda work: work.parent.joinpath("cache.txt").write_text("mine"),
    "a large file in info": lambda work: os.truncate(work.parent / "info/trial.json", 10**13),
    "no info": lambda work: delete_tree(work.parent / "info"),
    "mode of info": lambda work: work.parent.joinpath("info").chmod(0o755),
    "info is a link": lambda work: move_and_link(work.parent / "info"),
    "info is a file": lambda work: replace_by_file(work.parent / "info"),
    "a pipe in info": lambda work: replace_by_pipe(work.parent / "info" / "trial.json"),
    "a second name in info": lambda work: os.link(work.parent / "info/trial.json", work.parents[1] / "mine.json"),
    "an open file in info": lambda work: work.parent.joinpath("info/trial.json").chmod(0o644),
    "a folder in info": lambda work: work.parent.joinpath("info/more").mkdir(),
    "all of it is a link": lambda work: move_and_link(work.parent),
    "the mode of all of it": lambda work: work.parent.chmod(0o755),
}


def grow_old(folder: Path) -> None:
    """Let the clock of the file system go on until a change is sure to be seen by its time."""
    clock = folder / "clock"
    clock.touch()
    made = clock.stat().st_ctime_ns
    while clock.stat().st_ctime_ns - made <= 2 * _SURE_NS:
        clock.touch()


@pytest.mark.parametrize("is_second", [False, True], ids=["the first", "the second"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_folder_that_a_run_has_changed_is_not_handed_on(
    place: Place, tmp_path: Path, change: Callable[[Path], object], is_second: bool
) -> None:
    first = place.begin()
    seen = shown(first)
    if is_second:
        # By now it is known when each file was changed last.
        grow_old(tmp_path)
        place.end(first)
        first = place.begin()
        assert place.kept() == []
    change(first / paths.WORK)
    place.end(first)
    assert place.kept() == []
    assert shown(place.begin()) == seen
    # A master that was killed before it could do the same does it at its next start.
    left = place.begin()
    change(left / paths.WORK)
    left.joinpath(paths.EXIT).write_text("{}")
    prepare.clear_ended(place.runs)
    assert not os.path.lexists(left / paths.SCRATCH)


def test_an_attribute_that_a_run_has_set_is_not_handed_on(place: Place) -> None:
    first = place.begin()
    try:
        os.setxattr(first / paths.WORK / "train.py", "user.mine", b"1")
    except OSError as error:
        pytest.skip(f"this file system has no attributes of users: {error}")
    place.end(first)
    assert place.kept() == []


def test_nothing_secret_is_in_what_is_kept(place: Place) -> None:
    place.end(place.begin())
    (kept,) = place.kept()
    assert sorted(path.name for path in kept.iterdir()) == ["info", "spec.json", "work"]
    left = [kept / "spec.json", *kept.joinpath("info").iterdir()]
    assert len(left) == 1 + len(INFO)
    assert {byte for path in left for byte in path.read_bytes()} == {0}


@pytest.mark.parametrize("name", [paths.INFO, paths.SCRATCH, paths.WORK])
def test_what_a_run_has_linked_to_is_left_alone(place: Place, tmp_path: Path, name: str) -> None:
    theirs = tmp_path / "theirs"
    theirs.joinpath("deep").mkdir(parents=True)
    theirs.joinpath("private").write_text("private")
    theirs.joinpath("private").chmod(0o600)
    first = place.begin()
    delete_tree(first / name)
    first.joinpath(name).symlink_to(theirs)
    place.end(first)
    assert theirs.joinpath("private").read_text() == "private"
    assert theirs.joinpath("deep").is_dir()
    place.begin()
    assert sorted(path.name for path in theirs.iterdir()) == ["deep", "private"]


def test_an_order_that_a_run_has_linked_to_is_not_written_for_the_next(place: Place) -> None:
    first = place.begin()
    mine = first / "mine"
    os.link(first / paths.SPEC, mine)
    before = mine.read_bytes()
    place.end(first)
    place.begin()
    assert mine.read_bytes() == before


def test_a_kept_folder_that_somebody_has_deleted_is_made_anew(place: Place) -> None:
    first = place.begin()
    seen = shown(first)
    place.end(first)
    delete_tree(place.kept()[0])
    assert shown(place.begin()) == seen


def test_a_run_that_is_deleted_leaves_nothing_for_others(place: Place) -> None:
    first = place.begin()
    place.used.forget(first)
    place.end(first)
    assert place.kept() == []


def test_info_files_of_another_run_are_not_there(place: Place) -> None:
    first = place.begin(rendezvous="only in the first")
    place.end(first)
    second = place.begin()
    assert sorted(path.name for path in second.joinpath(paths.INFO).iterdir()) == sorted(INFO)


def test_runs_of_another_model_definition_get_nothing_of_it(place: Place, tmp_path: Path) -> None:
    first = place.begin()
    place.end(first)
    other = make_context(tmp_path / "other.tgz", {"train.py": "other"})
    assert place.begin(other).joinpath(paths.WORK, "train.py").read_text() == "other"
    assert len(place.kept()) == 1
    # The archive itself is another now.
    make_context(place.context, {"train.py": "changed"})
    assert place.begin().joinpath(paths.WORK, "train.py").read_text() == "changed"


def test_a_large_model_definition_is_unpacked_for_each_run(place: Place, tmp_path: Path) -> None:
    for files in ({"big": "x" * (1 << 20)}, {f"{n}": "" for n in range(200)}):
        context = make_context(tmp_path / f"{len(files)}.tgz", files)
        place.end(place.begin(context))
        assert place.kept() == []


def test_only_so_many_are_kept_and_none_after_the_end(place: Place) -> None:
    for folder in [place.begin() for _ in range(MOST_KEPT + 3)]:
        place.end(folder)
    assert len(place.kept()) == MOST_KEPT
    place.used.clear()
    assert place.kept() == []
    place.end(place.begin())
    assert len(place.kept()) == 1


def test_what_another_launcher_has_left_is_deleted(machine: Machine, tmp_path: Path) -> None:
    left = machine.data / "runs" / paths.USED / "1"
    left.mkdir(parents=True)

    async def scenario() -> None:
        async with machine.opened():
            assert not left.exists()

    asyncio.run(scenario())


def test_runs_one_after_the_other_find_the_folder_as_it_was_packed(machine: Machine, tmp_path: Path) -> None:
    context = make_context(tmp_path / "context.tgz", FILES)
    text = (
        "import pathlib, sys\nsys.path.insert(0, '')\nprint(sorted(map(str, pathlib.Path().rglob('*'))))\n"
        "import pack.help\npathlib.Path('made').write_text('x')\n"
    )

    async def scenario() -> list[str]:
        found = []
        async with machine.opened() as (launcher, listener):
            for name in ("1.a.1", "1.b.1", "1.c.1"):
                await launcher.start(make_spec(name, sys.executable, "-c", text, context=context))
                await listener.exit_of(name)
                found += listener.texts(name)
        return found

    assert asyncio.run(scenario()) == [str(sorted(["empty", "pack", "pack/help.py", "train.py"]))] * 3
