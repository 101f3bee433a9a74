"""Checkpoints that several processes store together, without a master: in a folder, and in an object store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.ranks import Ended, files_below, free_port, run

PRELUDE = """
from pathlib import Path
context = core.init(distributed=meet(), checkpoint_storage=os.environ["STORAGE"])
rank = context.distributed.rank
def attempt(call):
    try:
        call()
    except (RuntimeError, ValueError, LookupError, TypeError, OSError) as error:
        tell(f"{type(error).__name__}: {error}")
def store(files, metadata=None):
    with context.checkpoint.store_path(metadata, shard=True) as (path, storage_id):
        for name, text in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(text)
    return storage_id
"""


def run_all(body: str, storage: Path | str, size: int = 2, machines: int = 1) -> list[Ended]:
    ended = run(PRELUDE + body, size, machines, free_port(), STORAGE=str(storage))
    for one in ended:
        assert one.code == 0, one.errors
    return ended


def checkpoint(root: Path, storage_id: str) -> dict[str, str]:
    """The files of a checkpoint; there is no other, and nothing unfinished."""
    left = sorted(p.name for p in root.iterdir() if p.name != ".partial")
    assert left == [storage_id]
    assert not list((root / ".partial").iterdir())
    return files_below(root / storage_id)


@pytest.mark.parametrize(("size", "machines"), [(2, 1), (4, 2)])
def test_store_path_gathers_the_files_and_metadata_of_all_ranks(tmp_path: Path, size: int, machines: int) -> None:
    body = """
files = {f"part-{rank}": f"of {rank}", "all/same": "same", f"all/{rank}": ""}
tell(store(files, {"steps_completed": 3, f"of {rank}": rank}))
"""
    ended = run_all(body, tmp_path, size, machines)
    (storage_id,) = {one.told[0] for one in ended}
    files = checkpoint(tmp_path, storage_id)
    metadata = json.loads(files.pop("metadata.json"))
    assert metadata == {"steps_completed": 3, **{f"of {n}": n for n in range(size)}}
    parts = {f"part-{n}": f"of {n}" for n in range(size)}
    assert files == {**parts, "all/same": "same", **{f"all/{n}": "" for n in range(size)}}


def test_files_of_one_name_with_different_content_are_refused_on_every_rank(tmp_path: Path) -> None:
    body = """
attempt(lambda: store({"model": f"of {rank}", f"{rank}": ""}))
attempt(lambda: store({"model/x" if rank else "model": ""}))
attempt(lambda: store({}, {"seed": rank}))
tell(store({f"{rank}": "good"}))
"""
    ended = run_all(body, tmp_path, 3)
    for one in ended:
        assert one.told[0].startswith("FailedPrecondition: several ranks have files of the same name")
        assert "'model' of ranks 0, 1, 2" in one.told[0]
        assert "'model' of ranks 0, 1, 2" in one.told[1]
        assert "'seed' of ranks 0, 1, 2" in one.told[2]
    files = checkpoint(tmp_path, ended[0].told[3])
    assert files == {"0": "good", "1": "good", "2": "good", "metadata.json": "{}"}


def test_upload_takes_the_folders_of_those_who_have_one(tmp_path: Path) -> None:
    """Also one folder that several name, and choices from one."""
    body = """
own, common = Path(os.environ["WORK"]) / f"{rank}", Path(os.environ["WORK"]) / "common"
own.mkdir(parents=True)
(own / f"{rank}").write_text("own")
if rank == 0:
    common.mkdir()
    for name in "0123":
        (common / name).write_text(name)
context.distributed.allgather(None)
tell(context.checkpoint.upload(own if rank in (1, 2) else None, shard=True))
tell(context.checkpoint.upload(common, shard=True))
tell(context.checkpoint.upload(common, shard=True, selector=lambda name: name == str(rank) and rank != 2))
attempt(lambda: context.checkpoint.upload(None, shard=True))
attempt(lambda: context.checkpoint.upload(own / "none" if rank == 1 else own, shard=True))
attempt(lambda: context.checkpoint.upload(None, shard=True, selector=lambda name: True) if rank == 1
    else context.checkpoint.upload(own, shard=True))
attempt(lambda: context.checkpoint.upload(own))
"""
    storage, work = tmp_path / "storage", tmp_path / "work"
    work.mkdir()
    ended = run(PRELUDE + body, 4, 1, STORAGE=str(storage), WORK=str(work))
    told = [one.told for one in ended]
    assert all(one.code == 0 for one in ended), ended
    assert told[0][:3] == told[1][:3] == told[2][:3] == told[3][:3]
    first, second, third = told[0][:3]
    assert files_below(storage / first) == {"1": "own", "2": "own", "metadata.json": "{}"}
    assert files_below(storage / second) == {**{n: n for n in "0123"}, "metadata.json": "{}"}
    assert files_below(storage / third) == {**{n: n for n in "013"}, "metadata.json": "{}"}
    assert files_below(work / "common") == {n: n for n in "0123"}
    for rank, words in enumerate(told):
        assert "ckpt_dir=None by all ranks" in words[3]
        assert words[4].startswith("NotFound: ")
        assert ("process 1" in words[4]) == (rank != 1)
        assert words[5].startswith("FailedPrecondition: ")
        assert "selector and no ckpt_dir" in words[5]
        if rank:
            assert f"rank {rank} without shard=True" in words[6]
    assert not list((storage / ".partial").iterdir())


def test_a_rank_that_dies_while_storing_leaves_no_checkpoint(tmp_path: Path) -> None:
    body = """
try:
    with context.checkpoint.store_path(shard=True) as (path, _):
        (path / f"{rank}").write_text("")
        if rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
except core.PeerLost as error:
    tell(str(error))
"""
    ended = run(PRELUDE + body, 3, STORAGE=str(tmp_path))
    assert [one.code for one in ended] == [0, -9, 0]
    assert "is gone" in ended[0].told[0]
    assert [p.name for p in tmp_path.iterdir()] == [".partial"]


READ = """
storage_id = store({"0": "zero", "sub/1": "one", "2": "two"} if rank == 0 else {f"by-{rank}": ""})
def show(path):
    tell(sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.is_file()))
mine = Path(os.environ["WORK"]) / f"{context.distributed.cross_rank}"
own = Path(os.environ["WORK"]) / f"own-{rank}"
with context.checkpoint.restore_path(storage_id) as path:
    show(path)
context.checkpoint.download(storage_id, mine, selector=lambda name: name == f"by-{rank}" if rank else name == "sub/1")
context.distributed.allgather(None)
show(mine)
alone = core.DownloadMode.NoSharedDownload
context.checkpoint.download(storage_id, own, alone, selector=lambda name: name == "2")
show(own)
attempt(lambda: context.checkpoint.download("no-such", mine))
with context.checkpoint.restore_path(storage_id, selector=(lambda name: name == "0") if rank else None) as path:
    show(path)
"""


def check_reading(ended: list[Ended], local: int) -> None:
    size = len(ended)
    everything = sorted(["0", "2", "metadata.json", "sub/1", *(f"by-{n}" for n in range(1, size))])
    for rank, one in enumerate(ended):
        assert one.code == 0, one.errors
        here = [n for n in range(size) if n // local == rank // local]
        assert one.told[0] == everything
        assert one.told[1] == sorted(f"by-{n}" if n else "sub/1" for n in here)
        assert one.told[2] == ["2"]
        assert one.told[3].startswith("NotFound: ")
        if rank < local:
            # The first process wants all.
            assert one.told[4] == everything


@pytest.mark.parametrize(("size", "machines"), [(2, 1), (4, 2)])
def test_processes_of_a_machine_share_a_download(tmp_path: Path, size: int, machines: int) -> None:
    work = tmp_path / "work"
    work.mkdir()
    ended = run(PRELUDE + READ, size, machines, free_port(), STORAGE=str(tmp_path / "storage"), WORK=str(work))
    check_reading(ended, size // machines)


OBJECTS = """
import fsspec
from determined.common.objects.place import Place
from determined.core import _remote_storage
class Objects(fsspec.get_filesystem_class("file")):
    protocol = "objects"
    cachable = False
    def __init__(self, **options):
        super().__init__(auto_mkdir=True)
fsspec.register_implementation("objects", Objects)
context.checkpoint._storage = _remote_storage.RemoteStorage(Place("objects", os.environ["STORAGE"]))
"""


def test_an_object_store_holds_the_files_of_all_ranks_and_serves_what_each_machine_wants(tmp_path: Path) -> None:
    """Objects are files of a folder here; what counts is that they are put one by one, without a rename."""
    work, storage = tmp_path / "work", tmp_path / "storage"
    work.mkdir()
    storage.mkdir()
    env = {"STORAGE": str(storage), "WORK": str(work)}
    check_reading(run(PRELUDE + OBJECTS + READ, 4, 2, free_port(), **env), 2)
    bad = "attempt(lambda: store({'model': f'of {rank}'}))\nattempt(lambda: store({f'{rank}': ''}, {'seed': rank}))\n"
    before = files_below(storage)
    for one in run(PRELUDE + OBJECTS + bad, 2, 1, None, **env):
        assert len(one.told) == 2, one.errors
    assert files_below(storage) == before
