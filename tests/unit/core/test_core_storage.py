"""Checkpoint storages: whole or not at all, names that stay inside, and the words that configure them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from determined.common.objects.place import Place
from determined.core._files import checked_storage_id, list_folder, select
from determined.core._remote_storage import RemoteStorage
from determined.core._storage import LocalStorage, Storage
from determined.core._storage_config import storage_from_argument, storage_from_config, storage_from_text
from determined.errors import InvalidInput, NotFound, StorageFailed
from tests.s3 import S3Server


def fill(folder: Path) -> Path:
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "model.bin").write_bytes(b"12345")
    (folder / "sub" / "deep" / "part").write_bytes(b"1")
    return folder


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as running:
        yield running


@pytest.fixture(params=["local", "memory", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "local":
        yield LocalStorage(tmp_path / "ckpts", owner="5.trial")
        return
    if request.param == "s3":
        yield storage_from_config(request.getfixturevalue("server").section(), "5.trial")
        return
    root = f"bucket-{uuid.uuid4()}/prefix"
    yield RemoteStorage(Place("memory", root))
    files = fsspec.filesystem("memory")
    if files.exists(root):
        files.rm(root, recursive=True)


def test_a_published_folder_can_be_downloaded_and_opened(storage: Storage, tmp_path: Path) -> None:
    folder = storage.begin("one")
    resources = storage.publish("one", fill(folder), {"steps_completed": 3})
    assert resources == {"model.bin": 5, "sub/": 0, "sub/deep/": 0, "sub/deep/part": 1}
    assert not folder.exists()
    storage.download("one", tmp_path / "copy")
    with storage.open("one") as opened:
        for place in (tmp_path / "copy", opened):
            assert list_folder(place) == {**resources, "metadata.json": (place / "metadata.json").stat().st_size}
            assert json.loads((place / "metadata.json").read_text()) == {"steps_completed": 3}


def test_an_upload_leaves_its_source_alone_and_takes_only_what_was_named(storage: Storage, tmp_path: Path) -> None:
    source = fill(tmp_path / "source")
    before = list_folder(source)
    storage.upload("one", source, ["sub/", "sub/deep/", "sub/deep/part"], {})
    assert list_folder(source) == before
    storage.download("one", tmp_path / "copy")
    assert sorted(list_folder(tmp_path / "copy")) == ["metadata.json", "sub/", "sub/deep/", "sub/deep/part"]


def test_a_download_takes_what_the_selector_wants_and_the_folders_around_it(storage: Storage, tmp_path: Path) -> None:
    storage.upload("one", fill(tmp_path / "source"), ["model.bin", "sub/deep/part"], {})
    storage.download("one", tmp_path / "copy", lambda name: name.endswith("part"))
    assert sorted(list_folder(tmp_path / "copy")) == ["sub/", "sub/deep/", "sub/deep/part"]


def test_processes_add_their_files_and_one_of_them_makes_it_a_checkpoint(storage: Storage, tmp_path: Path) -> None:
    name = str(uuid.uuid4())
    first, second = storage.begin_shard(name, 0), storage.begin_shard(name, 1)
    (first / "part").mkdir()
    (first / "part/0").write_text("zero")
    (second / "1").write_text("one")
    storage.add_shard(name, first, ["part/", "part/0"], keep=False)
    storage.add_shard(name, second, ["1"], keep=True)
    with pytest.raises((NotFound, StorageFailed)):
        storage.download(name, tmp_path / "early")
    sizes = {"part/": 0, "part/0": 4, "1": 3}
    storage.publish_shards(name, sizes, {"ranks": 2})
    storage.confirm(name)
    assert (second / "1").read_text() == "one"
    storage.abandon(first)
    storage.abandon(second)
    storage.abandon_shards(name)
    contents = storage.contents(name)
    assert contents.pop("metadata.json") > 0
    assert contents == sizes
    storage.download(name, tmp_path / "got")
    assert (tmp_path / "got/part/0").read_text() == "zero"
    assert json.loads((tmp_path / "got/metadata.json").read_text()) == {"ranks": 2}


def test_shards_that_did_not_all_arrive_make_no_checkpoint(storage: Storage, tmp_path: Path) -> None:
    name = str(uuid.uuid4())
    folder = storage.begin_shard(name, 0)
    (folder / "0").write_text("zero")
    storage.add_shard(name, folder, ["0"], keep=True)
    with pytest.raises(StorageFailed, match=r"1 of checkpoint .* did not arrive in .* as written"):
        storage.publish_shards(name, {"0": 4, "1": 3}, {})
    storage.abandon(folder)
    storage.abandon_shards(name)
    storage.abandon_shards(name)
    with pytest.raises(NotFound):
        storage.contents(name)


def test_a_deleted_checkpoint_is_gone_and_deleting_it_again_changes_nothing(storage: Storage, tmp_path: Path) -> None:
    storage.upload("one", fill(tmp_path / "source"), ["model.bin"], {})
    storage.upload("two", tmp_path / "source", ["model.bin"], {})
    storage.delete("one")
    storage.delete("one")
    with pytest.raises(NotFound, match="one"), storage.open("one"):
        pytest.fail("opened")
    with pytest.raises(NotFound, match="one"):
        storage.download("one", tmp_path / "copy")
    with storage.open("two") as folder:
        assert (folder / "model.bin").exists()


def test_a_probe_leaves_nothing_behind_but_one_file_that_is_used_again(storage: Storage, tmp_path: Path) -> None:
    for _ in range(2):
        storage.probe()
        left = [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()]
        assert left == ([f"ckpts/.partial/probe-{os.getuid()}"] if isinstance(storage, LocalStorage) else [])
    storage.discard_partial()


def test_a_probe_does_not_write_through_a_link(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "root")
    storage.probe()
    (probe,) = (tmp_path / "root/.partial").iterdir()
    probe.unlink()
    precious = tmp_path / "precious"
    precious.write_text("precious")
    probe.symlink_to(precious)
    storage.probe()
    assert precious.read_text() == "precious"
    assert list((tmp_path / "root/.partial").iterdir()) == [probe]


def test_a_single_file_is_put_under_its_name(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "events").write_text("e")
    storage.put(tmp_path / "events", "cluster/tensorboard/renamed")
    if isinstance(storage, LocalStorage):
        assert (storage.root / "cluster/tensorboard/renamed").read_text() == "e"
    with pytest.raises(InvalidInput):
        storage.put(tmp_path / "events", "../out")


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/abs", ".partial", "a\0b", "x" * 300, "a b", None])
def test_a_checkpoint_name_never_leads_elsewhere(storage: Storage, tmp_path: Path, name: Any) -> None:
    (tmp_path / "precious").mkdir()
    calls = (storage.delete, lambda n: storage.download(n, tmp_path / "copy"), storage.begin, checked_storage_id)
    for call in calls:
        with pytest.raises(InvalidInput, match="no checkpoint name"):
            call(name)
    assert (tmp_path / "precious").exists()


def test_an_upload_that_fails_leaves_nothing_behind(storage: Storage, tmp_path: Path) -> None:
    source = fill(tmp_path / "source")
    with pytest.raises(FileNotFoundError):
        storage.upload("one", source, ["model.bin", "missing"], {})
    with pytest.raises(NotFound), storage.open("one"):
        pytest.fail("opened")
    if isinstance(storage, LocalStorage):
        assert list((storage.root / ".partial").iterdir()) == []


def test_nothing_has_its_name_before_it_is_whole_even_when_the_writer_is_killed(tmp_path: Path) -> None:
    """The writer dies by SIGKILL between the last file and the metadata: only an unfinished folder is left."""
    script = """
import os, signal, sys
from determined import steps
from determined.core import _storage
steps.hook = lambda name: name == "checkpoint.metadata.before" and os.kill(os.getpid(), signal.SIGKILL)
storage = _storage.LocalStorage(sys.argv[1], owner="5.trial")
folder = storage.begin("one")
(folder / "model.bin").write_bytes(b"12345")
storage.publish("one", folder, {"steps_completed": 1})
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert [p.name for p in tmp_path.iterdir()] == [".partial"]
    assert [p.name for p in (tmp_path / ".partial").iterdir()] == ["5.trial--one"]
    LocalStorage(tmp_path, owner="6.trial").discard_partial()
    assert (tmp_path / ".partial" / "5.trial--one" / "model.bin").exists()
    LocalStorage(tmp_path, owner="5.trial").discard_partial()
    assert list((tmp_path / ".partial").iterdir()) == []


def test_links_are_followed_and_loops_pipes_and_broken_links_are_refused(tmp_path: Path) -> None:
    source = fill(tmp_path / "source")
    (source / "link").symlink_to(source / "model.bin")
    (source / "folder-link").symlink_to(source / "sub")
    assert list_folder(source)["link"] == 5
    assert list_folder(source)["folder-link/deep/part"] == 1
    for make in (
        lambda p: p.symlink_to(source),
        lambda p: p.symlink_to(source / "nowhere"),
        os.mkfifo,
    ):
        make(source / "bad")
        with pytest.raises(InvalidInput, match="bad"):
            list_folder(source)
        (source / "bad").unlink()


def test_a_folder_that_is_missing_or_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no folder"):
        list_folder(tmp_path / "missing")
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="is a file"):
        list_folder(tmp_path / "file")


def test_selecting_a_folder_takes_its_parents_but_not_its_content() -> None:
    resources = {"a/": 0, "a/b/": 0, "a/b/c": 1}
    assert select(resources, lambda name: name == "a/b/") == {"a/": 0, "a/b/": 0}


def test_a_shared_fs_storage_lies_inside_its_host_path(tmp_path: Path) -> None:
    def root(**fields: Any) -> Path:
        storage = storage_from_config({"type": "shared_fs", "host_path": str(tmp_path), **fields})
        assert isinstance(storage, LocalStorage)
        return storage.root

    assert root() == tmp_path
    assert root(storage_path="a/b", save_trial_best=1) == tmp_path / "a/b"
    assert root(storage_path=str(tmp_path / "c")) == tmp_path / "c"
    assert root(checkpoint_path="old") == tmp_path / "old"
    for outside in ("../x", "/elsewhere", f"{tmp_path}-sibling"):
        with pytest.raises(InvalidInput, match="outside"):
            root(storage_path=outside)


@pytest.mark.parametrize(
    "config",
    [
        None,
        {},
        {"type": "floppy"},
        {"type": "shared_fs"},
        {"type": "shared_fs", "host_path": "relative"},
        {"type": "s3"},
        {"type": "s3", "bucket": "b", "prefix": "../x"},
        {"type": "gcs", "bucket": ""},
    ],
)
def test_a_bad_configuration_is_refused_with_the_field_in_the_message(config: Any) -> None:
    with pytest.raises(InvalidInput, match="checkpoint_storage"):
        storage_from_config(config)


def test_object_stores_are_described_by_bucket_and_prefix() -> None:
    config = {"type": "s3", "bucket": "b", "prefix": "/p/", "access_key": "k", "secret_key": "s"}
    assert repr(storage_from_config(config)) == "s3://b/p"
    assert repr(storage_from_config({"type": "gcs", "bucket": "b"})) == "gs://b"
    assert repr(storage_from_text("s3://b/p")) == "s3://b/p"


@pytest.mark.parametrize("text", ["", "s3://", "file://host/x", "s3://b/p?x=1", "gs://b#f"])
def test_text_that_means_no_storage_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="checkpoint_storage"):
        storage_from_text(text)


def test_paths_of_all_kinds_mean_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for argument in ("x", tmp_path / "x", f"file://{tmp_path}/x"):
        storage = storage_from_argument(argument)
        assert isinstance(storage, LocalStorage)
        assert storage.root == tmp_path / "x"
    assert storage_from_argument(None) is None


def test_a_shared_fs_dictionary_or_another_kind_is_refused_as_an_argument() -> None:
    with pytest.raises(ValueError, match="shared_fs"):
        storage_from_argument({"type": "shared_fs", "host_path": "/x"})
    wrong: Any = 7
    with pytest.raises(TypeError, match="checkpoint_storage"):
        storage_from_argument(wrong)


@pytest.mark.parametrize(
    ("text", "package", "extra"),
    [("s3://b/p", "s3fs", "s3"), ("gs://b", "gcsfs", "gcs"), ("abfs://c", "adlfs", "azure")],
)
def test_a_store_whose_package_is_missing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, text: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InvalidInput, match=rf"{package}.*pip install 'determined-search\[{extra}\]'"):
        storage_from_text(text).probe()


def test_a_scheme_that_nobody_knows_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InvalidInput, match=r"cannot be opened.*s3://, gs://"):
        storage_from_text("nonsense://x").probe()
