"""What the master deletes in an object store, also when the store, or the master, was away meanwhile."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from determined.domain.ids import ExperimentId
from determined.domain.states import CheckpointState, ExperimentState
from determined.errors import NotFound
from determined.master.service import checkpoint_files
from determined.storage import protocol as db
from tests.integration.api_rig import CLUSTER, CONFIG, FILES, Rig, close_trial, ok, refused, request_id, served
from tests.integration.test_service_restart import start_another, states
from tests.s3 import S3Server


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as running:
        yield running


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_files, "PATIENCE_S", 0.0)


async def until_idle(m: Rig) -> None:
    while m.service.dispatcher._tasks:
        await asyncio.gather(*m.service.dispatcher._tasks)


async def search(m: Rig, server: S3Server, section: dict[str, Any]) -> tuple[ExperimentId, list[str]]:
    """A search whose one trial is about to end, has saved three times, and has left two unfinished uploads."""
    number = await m.create(CONFIG + f"checkpoint_storage: {json.dumps(section)}\n")
    t = await m.start_trial(number)
    uuids = [await t.checkpoint(n, 10 * n) for n in (1, 2, 3)]
    task = t.allocation.rpartition(".")[0]
    root, files = server.place(section).root, server.files()
    for uuid in uuids:
        files.pipe({f"{root}/{uuid}/{name}": b"1" for name in ("weights", "metadata.json")})
    files.pipe(
        {f"{root}/{request_id(8)}/weights": b"1", f"{root}/.partial/{CLUSTER}/{number}/{task}/{request_id(8)}": b"1"}
    )
    # Registered, and its run died before it could drop the note.
    files.pipe_file(f"{root}/.partial/{CLUSTER}/{number}/{task}/{uuids[2]}", b"1")
    # Not of this experiment.
    files.pipe_file(f"{root}/.partial/{CLUSTER}/{number}1/other/{request_id(9)}", b"1")
    files.pipe_file(f"{root}/{request_id(9)}/weights", b"1")
    return ExperimentId(number), uuids


async def end(m: Rig, number: int) -> None:
    ok(await m.operate(number, None, close_trial(request_id(1))))
    await m.post(f"/v1/experiments/{number}/kill")
    async for _ in m.service.watch(ExperimentId(number), follow=True):
        pass
    await until_idle(m)


def others(number: int) -> list[str]:
    return [f".partial/{CLUSTER}/{number}1/other/{request_id(9)}", f"{request_id(9)}/weights"]


def files_of(uuid: str) -> list[str]:
    return [f"{uuid}/metadata.json", f"{uuid}/weights"]


def test_what_the_policy_does_not_keep_and_what_was_never_registered_is_deleted(server: S3Server) -> None:
    @served
    async def play(m: Rig) -> None:
        section = server.section()
        number, uuids = await search(m, server, section)
        await end(m, number)
        assert server.names(section) == sorted([*others(number), *files_of(uuids[2])])
        deleted, completed = CheckpointState.DELETED, CheckpointState.COMPLETED
        assert await states(m, uuids) == [deleted, deleted, completed]
        assert not (await m.store.get_experiment(number)).uncollected

    play()


def test_a_store_that_is_away_at_the_end_is_cleaned_up_by_the_next_master(
    server: S3Server, caplog: pytest.LogCaptureFixture
) -> None:
    @served
    async def play(m: Rig) -> None:
        section = server.section(secret_key="VERYSECRET")
        number, uuids = await search(m, server, section)
        server.tell("away")
        try:
            await end(m, number)
        finally:
            server.tell("back")
        assert (await m.store.get_experiment(number)).uncollected
        assert "could not be reached" in caplog.text
        assert "VERYSECRET" not in caplog.text
        another = await start_another(m)
        assert server.names(section) == sorted([*others(number), *files_of(uuids[2])])
        assert not (await m.store.get_experiment(number)).uncollected
        await another.stop()

    play()


def test_a_checkpoint_that_somebody_deletes_while_the_store_is_away_goes_later(server: S3Server) -> None:
    @served
    async def play(m: Rig) -> None:
        section = server.section()
        number, uuids = await search(m, server, section)
        await end(m, number)
        server.tell("away")
        try:
            ok(await m.call("DELETE", "/v1/checkpoints", {"checkpointUuids": [uuids[2]]}))
        finally:
            server.tell("back")
        assert files_of(uuids[2])[0] in server.names(section)
        another = await start_another(m)
        assert server.names(section) == others(number)
        await another.stop()

    play()


@pytest.mark.parametrize("begun", [False, True], ids=["at once", "by the next master"])
def test_a_deleted_experiment_leaves_nothing_of_its_own(server: S3Server, begun: bool) -> None:
    @served
    async def play(m: Rig) -> None:
        section = server.section()
        number, _ = await search(m, server, section)
        await end(m, number)
        if begun:
            await m.store.write([db.PatchExperiment(id=number, changes={"state": ExperimentState.DELETING})])
            another = await start_another(m)
            await another.stop()
        else:
            ok(await m.call("DELETE", f"/v1/experiments/{number}"))
            await until_idle(m)
        with pytest.raises(NotFound):
            await m.store.get_experiment(number)
        assert server.names(section) == others(number)

    play()


@pytest.mark.parametrize(
    ("section", "package", "extra"),
    [
        ({"type": "s3", "bucket": "b"}, "s3fs", "s3"),
        ({"type": "gcs", "bucket": "b"}, "gcsfs", "gcs"),
        ({"type": "azure", "container": "c", "connection_string": "SECRET"}, "adlfs", "azure"),
    ],
)
def test_a_package_that_the_master_lacks_is_told_when_the_experiment_is_submitted(
    monkeypatch: pytest.MonkeyPatch, section: dict[str, Any], package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    @served
    async def play(m: Rig) -> None:
        config = CONFIG + f"checkpoint_storage: {json.dumps(section)}\n"
        answer = await m.call("POST", "/v1/experiments", {"config": config, "modelDefinition": FILES})
        told = refused(answer, 400, "checkpoint_storage.type")
        assert f"needs the package {package}" in told
        assert f"pip install 'determined-search[{extra}]', where the master runs" in told
        assert "SECRET" not in told

    play()


def test_the_files_can_be_had_through_the_master(server: S3Server) -> None:
    @served
    async def play(m: Rig) -> None:
        section = server.section()
        number, uuids = await search(m, server, section)
        await end(m, number)
        got = await m.call("GET", f"/checkpoints/{uuids[2]}", headers={"Accept": "application/zip"})
        assert got.status_code == 200
        assert sorted(zipfile.ZipFile(io.BytesIO(got.content)).namelist()) == ["metadata.json", "weights"]
        server.files().rm(f"{server.place(section).root}/{uuids[2]}", recursive=True)
        refused(await m.call("GET", f"/checkpoints/{uuids[2]}"), 404, "there is no checkpoint")

    play()
