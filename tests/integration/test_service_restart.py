"""What a master that died had begun with experiments that are over, the next one finishes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from determined.domain.ids import ExperimentId
from determined.domain.states import CheckpointState, ExperimentState
from determined.errors import NotFound
from determined.launchers.fake import FakeLauncher
from determined.master.service import runs
from determined.master.service.loading import load_lane
from determined.master.service.service import MasterService
from determined.storage import protocol as db
from tests.integration.api_rig import CLUSTER, URL, Rig, close_trial, ok, request_id, served


async def start_another(m: Rig) -> MasterService:
    """A second master on the same data, once it has done all that it found to do."""
    who = runs.Identity(master_id="n", cluster_id=CLUSTER, url=URL)
    storage = {"type": "shared_fs", "host_path": str(m.folder / "checkpoints")}
    service = MasterService(m.store, FakeLauncher(4), m.service.contexts, m.auth, who, storage)
    await service.start()
    await asyncio.gather(*service.dispatcher._tasks)
    return service


async def search_with_checkpoints(m: Rig) -> tuple[ExperimentId, list[str]]:
    """A search that is over, whose one trial saved three times; its policy keeps the last of the checkpoints."""
    number = await m.create()
    t = await m.start_trial(number)
    uuids = [await t.checkpoint(n, 10 * n) for n in (1, 2, 3)]
    for uuid in uuids:
        folder = m.folder / "checkpoints" / uuid
        folder.mkdir(parents=True)
        (folder / "weights").touch()
    ok(await m.operate(number, None, close_trial(request_id(1))))
    await m.post(f"/v1/experiments/{number}/kill")
    async for _ in m.service.watch(ExperimentId(number), follow=True):
        pass
    await asyncio.gather(*m.service.dispatcher._tasks)
    return ExperimentId(number), uuids


def kept(folder: Path) -> set[str]:
    return {path.name for path in (folder / "checkpoints").iterdir()}


async def states(m: Rig, uuids: list[str]) -> list[Any]:
    return [(await m.store.get_checkpoint(uuid)).checkpoint.state for uuid in uuids]


@pytest.mark.parametrize("marked", [False, True], ids=["before the first mark", "between mark and files"])
def test_a_collection_that_was_broken_off_is_done_again(marked: bool) -> None:
    @served
    async def play(m: Rig) -> None:
        number, uuids = await search_with_checkpoints(m)
        assert kept(m.folder) == {uuids[-1]}
        assert not (await m.store.get_experiment(number)).uncollected
        # As it was when the master died: the files are there, and the mark is not, or is.
        (m.folder / "checkpoints" / uuids[0]).mkdir()
        state = CheckpointState.DELETED if marked else CheckpointState.COMPLETED
        changes = db.PatchExperiment(id=number, changes={"uncollected": True})
        await m.store.write([db.SetCheckpointState(uuid=uuids[0], state=state), changes])
        another = await start_another(m)
        assert kept(m.folder) == {uuids[-1]}
        deleted, completed = CheckpointState.DELETED, CheckpointState.COMPLETED
        assert await states(m, uuids) == [deleted, deleted, completed]
        assert not (await m.store.get_experiment(number)).uncollected
        await another.stop()

    play()


@served
async def test_a_deletion_that_was_broken_off_is_finished(m: Rig) -> None:
    number, _ = await search_with_checkpoints(m)
    await m.store.write([db.PatchExperiment(id=number, changes={"state": ExperimentState.DELETING})])
    another = await start_another(m)
    assert kept(m.folder) == set()
    with pytest.raises(NotFound):
        await m.store.get_experiment(number)
    await another.stop()


def test_facts_between_the_engines_snapshot_and_a_later_state_of_the_method_are_not_left_out() -> None:
    """A master kept the method's state under the number of a later fact than that of its own snapshot, and was then
    stopped: the next one began behind the later number, and did not start."""

    @served
    async def play(m: Rig) -> None:
        number = ExperimentId(await m.create())
        t = await m.start_trial(int(number))
        lane = m.service.commits.lanes[number]
        await t.report("validation", 1, {"loss": 0.5})
        await m.store.write([db.PutState(experiment_id=number, part="method", seq=lane.seq, body=b"")])
        await t.report("validation", 2, {"loss": 0.25})
        found = await load_lane(m.store, await m.store.get_experiment(number))
        assert found.seq == lane.seq
        assert found.engine.trials.keys() == lane.engine.trials.keys()
        assert (found.engine.last_event, found.engine.answered) == (lane.engine.last_event, lane.engine.answered)

    play()
