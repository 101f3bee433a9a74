from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from determined import files, steps


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is brought to the disk, by the names that files and folders have at that moment."""
    seen: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        seen.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return seen


def test_every_level_of_a_new_folder_is_brought_to_the_disk_in_its_parent(tmp_path: Path, synced: list[str]) -> None:
    files.make_folder(tmp_path / "a" / "b" / "c", "home", 0o700)
    assert stat.S_IMODE((tmp_path / "a" / "b" / "c").stat().st_mode) == 0o700
    assert synced == [tmp_path.name, "a", "b"]


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path, synced: list[str]) -> None:
    (tmp_path / "there").mkdir(mode=0o755)
    files.make_folder(tmp_path / "there", "home", 0o700)
    assert stat.S_IMODE((tmp_path / "there").stat().st_mode) == 0o755
    assert synced == []


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        files.make_folder(tmp_path / "file", "home")


def test_the_bytes_of_a_file_are_on_the_disk_before_its_name_is(tmp_path: Path, synced: list[str]) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    files.replace_file(path, b"new" * 100_000, "secret", 0o600)
    assert path.read_bytes() == b"new" * 100_000
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert synced == [".secret.new", tmp_path.name]
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_replacement_leaves_the_old_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        files.replace_file(path, b"new", "secret")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_every_change_passes_named_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[str] = []
    monkeypatch.setattr(steps, "hook", passed.append)
    files.replace_file(tmp_path / "file", b"new", "file")
    files.remove(tmp_path / "file", "gone")
    assert passed == [
        *("file.write.before", "file.write.half", "file.write.after", "file.rename.before", "file.rename.after"),
        *("file.sync.before", "file.sync.after", "gone.before", "gone.after"),
    ]


def test_what_a_dead_process_left_is_not_written_through(tmp_path: Path) -> None:
    """A link in the place of the temporary file must not lead our bytes elsewhere."""
    (tmp_path / "elsewhere").write_text("untouched")
    (tmp_path / ".secret.new").symlink_to(tmp_path / "elsewhere")
    files.replace_file(tmp_path / "secret", b"new", "secret")
    assert (tmp_path / "elsewhere").read_text() == "untouched"
    assert (tmp_path / "secret").read_bytes() == b"new"


def test_a_folder_and_what_lies_beside_it_are_brought_to_the_disk_together(tmp_path: Path, synced: list[str]) -> None:
    (tmp_path / "new" / "inner").mkdir(parents=True)
    for name in ("log", "new/a", "new/inner/b"):
        (tmp_path / name).write_text("x")
    files.sync_tree(tmp_path / "new", "test", [tmp_path / "log"])
    assert sorted(synced) == ["a", "b", "inner", "log", "new"]


def test_waits_for_several_files_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_text("x")
    all_there = threading.Barrier(len(paths), timeout=60)
    monkeypatch.setattr(os, "fsync", lambda descriptor: all_there.wait())
    files.sync_all(paths)
    assert not all_there.broken


def test_a_failed_sync_of_one_of_several_files_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    with pytest.raises(FileNotFoundError, match="missing"):
        files.sync_all([tmp_path / "a", tmp_path / "missing"])


def test_a_forked_process_can_wait_for_several_files_too(tmp_path: Path) -> None:
    program = """
import os, sys
from determined import files
files.sync_all(sys.argv[1:])
child = os.fork()
if child == 0:
    files.sync_all(sys.argv[1:])
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    paths = [tmp_path / name for name in "ab"]
    for path in paths:
        path.write_text("x")
    command = [sys.executable, "-W", "ignore", "-c", program, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "7\n"
