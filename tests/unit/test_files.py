from __future__ import annotations

import os
import stat
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
