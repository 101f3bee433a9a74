"""Object stores against a real server of S3's protocol: parts, pieces, and trouble that passes or does not."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from determined.common.objects import store as store_module
from determined.common.objects import transfer
from determined.common.objects.checkpoints import ObjectCheckpoints
from determined.common.objects.store import ObjectStore
from determined.common.objects.transfer import Moved
from determined.core._storage_config import storage_from_config
from determined.errors import NotFound, PermissionDenied, StorageFailed, Unavailable
from tests.s3 import S3Server

OWNER = "cluster/5/5.trial"


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as running:
        yield running


@pytest.fixture
def section(server: S3Server) -> dict[str, Any]:
    return server.section()


@pytest.fixture
def store(server: S3Server, section: dict[str, Any]) -> ObjectStore:
    return ObjectStore(server.place(section))


def filled(folder: Path, files: dict[str, int]) -> Path:
    for name, size in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(os.urandom(size))
    return folder


def test_many_files_go_up_and_come_back_and_the_watcher_hears_how_far_it_is(store: ObjectStore, tmp_path: Path) -> None:
    sizes = {f"shard-{n}/weights": 1000 + n for n in range(20)} | {"empty": 0}
    source = filled(tmp_path / "source", sizes)
    done: list[str] = []
    store.upload(source, sizes, "one", done.append)
    assert sorted(done) == sorted(sizes)
    told: list[Moved] = []
    store.download("one", store.sizes("one"), tmp_path / "target", told.append)
    for name in sizes:
        assert (tmp_path / "target" / name).read_bytes() == (source / name).read_bytes()
    total = sum(sizes.values())
    assert told[0] == Moved(21, total)
    assert told[-1] == Moved(21, total, 21, total)
    assert [m.bytes_done for m in told] == sorted(m.bytes_done for m in told)


def test_a_large_file_goes_up_in_parts_and_comes_back_in_pieces(
    server: S3Server, store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "PIECE_BYTES", 3 << 20)
    size = (18 << 20) + 7
    source = filled(tmp_path / "source", {"large": size})
    told: list[Moved] = []
    store.upload(source, ["large"], "one", lambda _: None)
    [info] = server.files().find(f"{store.place.root}/one", detail=True).values()
    assert info["ETag"].strip('"').endswith("-3")
    store.download("one", store.sizes("one"), tmp_path / "target", told.append)
    assert (tmp_path / "target" / "large").read_bytes() == (source / "large").read_bytes()
    assert len(told) == 8
    assert [m.files_done for m in told] == [0] * 7 + [1]


def test_a_file_that_changes_its_size_on_the_way_is_not_taken(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = filled(tmp_path / "source", {"log": 10})
    monkeypatch.setattr(store, "write_file", lambda _, name: store.write(name, b"x" * 15))
    with pytest.raises(StorageFailed, match=r"log has 15 bytes in s3://.* and 10 here"):
        store.upload(source, ["log"], "one", lambda _: None)
    store.write("two/log", b"12345")
    with pytest.raises(StorageFailed, match=r"gave 5 bytes instead of 4"):
        store.download("two", {"log": 4}, tmp_path / "target")


def test_a_busy_store_and_one_that_is_away_for_a_moment_are_tried_again(
    server: S3Server, store: ObjectStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = filled(tmp_path / "source", {"a": 10, "b": 20})
    store.write("warm-up", b"")
    server.tell("busy 3")
    store.upload(source, ["a", "b"], "one", lambda _: None)
    server.tell("away")
    comes_back = threading.Event()

    class WhenTold(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "does not answer" in record.getMessage() and not comes_back.is_set():
                comes_back.set()
                server.tell("back")

    handler = WhenTold()
    logging.getLogger("determined.storage").addHandler(handler)
    try:
        store.upload(source, ["a", "b"], "two", lambda _: None)
    finally:
        logging.getLogger("determined.storage").removeHandler(handler)
    assert comes_back.is_set()
    assert store.sizes("one") == store.sizes("two") == {"a": 10, "b": 20}
    assert "answers again" in caplog.text


def test_a_store_that_stays_away_is_given_up_with_one_sentence(store: ObjectStore, server: S3Server) -> None:
    server.tell("away")
    try:
        with pytest.raises(Unavailable, match=r"s3://\S+ could not be reached.*check the network, and endpoint_url"):
            store.patient(0).write("x", b"")
    finally:
        server.tell("back")


def test_a_bucket_that_is_not_there_is_told_by_every_call(server: S3Server, section: dict[str, Any]) -> None:
    store = ObjectStore(server.place({**section, "bucket": "no-such-bucket"}))
    calls = (
        lambda: store.write("x", b""),
        lambda: store.sizes("x"),
        lambda: store.remove("x"),
        lambda: store.remove_folder("x"),
    )
    for call in calls:
        with pytest.raises(
            NotFound, match=r"there is no bucket or container 'no-such-bucket'.*make it, or name another"
        ):
            call()


@pytest.mark.parametrize(("wrong", "text"), [("access_key", "does not exist"), ("secret_key", "signature")])
def test_wrong_credentials_are_told_without_showing_any(wrong: str, text: str) -> None:
    with S3Server(users=True) as server:
        section = server.section()
        ObjectStore(server.place(section)).write("x", b"")
        other = {**section, wrong: "WRONGWRONGWRONG"}
        storage = storage_from_config(other)
        with pytest.raises(PermissionDenied, match=rf"refuses these credentials.*{text}") as caught:
            storage.probe()
    for secret in ("WRONGWRONGWRONG", server.secret):
        assert secret not in str(caught.value) + repr(storage)


def test_no_credentials_are_told_as_such(server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    section = server.section(access_key=None, secret_key=None)
    with pytest.raises(PermissionDenied, match=r"there are no credentials for s3://.*AWS_ACCESS_KEY_ID"):
        storage_from_config(section).probe()


def test_a_probe_leaves_nothing_in_the_bucket(server: S3Server, section: dict[str, Any]) -> None:
    storage_from_config(section).probe()
    assert server.names(section) == []


UPLOAD = """
import json, os, signal, sys
from pathlib import Path
from determined import steps
from determined.core._storage_config import storage_from_config

place, passed = sys.argv[2], 0

def pass_step(name):
    if name == place:
        os.kill(os.getpid(), signal.SIGKILL)

steps.hook = pass_step
storage = storage_from_config(json.loads(sys.argv[1]), "5.trial", "cluster/5")
folder = storage.begin("lost")
for n in range(3):
    (folder / f"file-{n}").write_bytes(b"12345")
storage.publish("lost", folder, {"steps_completed": 1})
storage.confirm("lost")
"""


def killed_at(place: str, section: dict[str, Any], scratch: Path) -> None:
    import json

    scratch.mkdir(exist_ok=True)
    command = [sys.executable, "-c", UPLOAD, json.dumps(section), place]
    done = subprocess.run(command, check=False, env={**os.environ, "TMPDIR": str(scratch)})
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("place", ["checkpoint.note.after", "checkpoint.object.after", "checkpoint.metadata.before"])
def test_an_upload_that_was_killed_is_no_checkpoint_and_is_removed_by_the_next_run_of_its_task(
    server: S3Server, section: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    killed_at(place, section, tmp_path / "scratch")
    assert f".partial/{OWNER}/lost" in server.names(section)
    other = storage_from_config(section, "6.trial", "cluster/6")
    with pytest.raises(NotFound, match="lost"):
        other.download("lost", tmp_path / "copy")
    other.discard_partial()
    assert f".partial/{OWNER}/lost" in server.names(section)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    storage_from_config(section, "5.trial", "cluster/5").discard_partial()
    assert server.names(section) == []
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("is_registered", [True, False])
def test_what_was_whole_when_its_writer_died_stays_until_somebody_knows_whether_it_was_registered(
    server: S3Server, section: dict[str, Any], tmp_path: Path, is_registered: bool
) -> None:
    killed_at("checkpoint.confirm.before", section, tmp_path / "scratch")
    storage = storage_from_config(section, "5.trial", "cluster/5")
    storage.discard_partial()
    storage.download("lost", tmp_path / "copy")
    # The master collects for all tasks of an experiment at once.
    checkpoints = ObjectCheckpoints(ObjectStore(server.place(section)), "cluster/5")
    checkpoints.collect_unfinished({"lost"} if is_registered else {"another"})
    left = server.names(section)
    assert left == ([f"lost/file-{n}" for n in range(3)] + ["lost/metadata.json"] if is_registered else [])


def test_parts_of_a_large_file_whose_writer_died_are_dropped(server: S3Server, section: dict[str, Any]) -> None:
    store = ObjectStore(server.place(section))
    bucket, key = section["bucket"], "some/prefix/lost/large"
    files = server.files()
    for name in (key, "some/prefix/other/large"):
        files.call_s3("create_multipart_upload", Bucket=bucket, Key=name)
    store.write(f".partial/{OWNER}/lost", b"lost")
    ObjectCheckpoints(store, OWNER).discard_unfinished()
    left = files.call_s3("list_multipart_uploads", Bucket=bucket)["Uploads"]
    assert [upload["Key"] for upload in left] == ["some/prefix/other/large"]


def test_what_makes_a_checkpoint_whole_is_removed_first(server: S3Server, section: dict[str, Any]) -> None:
    store = ObjectStore(server.place(section))
    for name in ("a", "z", "metadata.json"):
        store.write(f"one/{name}", b"1")
    ObjectCheckpoints(store).remove(["one", "never-there"])
    assert store.sizes("one") == {}


def test_a_download_does_not_follow_names_that_lead_elsewhere(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="leads out of the checkpoint"):
        store.download("one", {"../elsewhere": 1}, tmp_path / "target")
    assert list(tmp_path.rglob("*")) == [tmp_path / "target"]


def test_at_most_so_many_jobs_run_at_once_and_the_first_failure_is_raised() -> None:
    lock, now, most = threading.Lock(), 0, 0
    full = threading.Barrier(transfer.AT_ONCE)

    def job(number: int) -> int:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        if number < transfer.AT_ONCE:
            full.wait()
        with lock:
            now -= 1
        return number

    seen: list[int] = []
    transfer.run_all([lambda n=n: job(n) for n in range(40)], seen.append)  # type: ignore[misc]
    assert sorted(seen) == list(range(40))
    assert most == transfer.AT_ONCE

    def fail() -> int:
        raise ValueError("this one")

    with pytest.raises(ValueError, match="this one"):
        transfer.run_all([fail, *[lambda: 1] * 5])
