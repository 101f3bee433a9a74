"""Model definitions that try to write somewhere else, and ones that do not."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from determined.errors import InvalidContext
from determined.launchers.context import unpack


def member(name: str, text: str | None = "x", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    data = (text or "").encode()
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, None, type=kind, linkname=to)


def archive(tmp_path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    path = tmp_path / "context.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return path


def unpack_to(tmp_path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    target = tmp_path / "inner" / "work"
    target.mkdir(parents=True)
    unpack(archive(tmp_path, *members), target)
    return target


def test_files_folders_and_inner_links_are_unpacked(tmp_path: Path) -> None:
    work = unpack_to(
        tmp_path,
        member("./pkg", None, type=tarfile.DIRTYPE, mode=0o755),
        member("pkg/train.py", "train"),
        member("run.sh", "run", mode=0o6755),
        link("pkg/again.sh", "../run.sh"),
    )
    assert work.joinpath("pkg/train.py").read_text() == "train"
    assert work.joinpath("pkg/again.sh").read_text() == "run"
    assert os.access(work / "run.sh", os.X_OK)
    assert work.joinpath("run.sh").stat().st_mode & 0o7000 == 0


@pytest.mark.parametrize(
    "members",
    [
        [member("../x")],
        [member("/tmp/x")],
        [member("a/../../x")],
        [link("out", "/etc")],
        [link("out", "..")],
        [link("a/out", "../..")],
        [link("a/out", "b/../../../c")],
        [link("hard", "run.sh", tarfile.LNKTYPE)],
        [member("device", None, type=tarfile.CHRTYPE)],
        [member("fifo", None, type=tarfile.FIFOTYPE)],
        [link("here", "."), member("here/x")],
        [link("x", "y"), member("x")],
        [member("a"), member("a/b")],
        [member("n" * 300)],
    ],
    ids=lambda members: "+".join(info.name[:12] for info, _ in members),
)
def test_members_that_may_land_elsewhere_are_refused(
    tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]]
) -> None:
    with pytest.raises(InvalidContext, match="model definition"):
        unpack_to(tmp_path, *members)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["context.tgz", "inner"]
    assert [p.name for p in tmp_path.joinpath("inner").iterdir()] == ["work"]


def test_an_archive_that_ends_early_is_refused(tmp_path: Path) -> None:
    whole = archive(tmp_path, member("big", os.urandom(50_000).hex())).read_bytes()
    target = tmp_path / "work"
    target.mkdir()
    for size in (0, 10, len(whole) // 2, len(whole) - 20):
        tmp_path.joinpath("short.tgz").write_bytes(whole[:size])
        with pytest.raises(InvalidContext, match=r"short\.tgz"):
            unpack(tmp_path / "short.tgz", target)


def test_an_archive_that_is_not_there_is_no_fault_of_the_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        unpack(tmp_path / "absent.tgz", tmp_path)
