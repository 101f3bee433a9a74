"""The start line of runs on several nodes: all members are held until the last one is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any

import httpx

from determined.launchers.fake import FakeLauncher
from determined.launchers.protocol import Machine, Member
from tests.integration.api_rig import Rig, Running, create_trial, ok, refused, request_id, served, validate_after


class FakeCluster(FakeLauncher):
    """Every run is on two nodes."""

    async def members(self, allocation_id: str) -> Sequence[Member]:
        return (Member("10.0.0.1", 3), Member("10.0.0.2", 1))

    async def machines(self) -> Sequence[Machine]:
        return ()

    def when_machines_change(self, tell: Callable[[], None]) -> None:
        return

    def is_crowded(self) -> bool:
        return False

    async def settle(self, live: Collection[str]) -> None:
        return


async def started(m: Rig) -> Running:
    m.service.meetings.launcher = FakeCluster()
    experiment = await m.create()
    rid = request_id(1)
    ok(await m.operate(experiment, None, create_trial(rid), validate_after(rid, 10)))
    return await m.attach_to(experiment, f"{experiment}.{rid}.1")


def call(run: Running, number: int) -> asyncio.Task[httpx.Response]:
    name = f"{run.allocation}.{number}"
    return asyncio.create_task(run.call("GET", f"/v1/allocations/{run.allocation}/resources/{name}/rendezvous"))


async def until_held(m: Rig, run: Running, count: int) -> None:
    """Nothing else tells that a request waits; it does within some rounds of the loop."""
    while True:
        gathering = m.service.meetings._gatherings.get(run.allocation)
        if gathering is not None and len(gathering.waiting) == count:
            return
        await asyncio.sleep(0)


def told(response: httpx.Response) -> Any:
    return ok(response)["rendezvousInfo"]


async def state_of(m: Rig, run: Running) -> str:
    state: str = (await m.get(f"/v1/experiments/{run.experiment}"))["experiment"]["state"]
    return state


@served
async def test_members_are_held_until_the_last_is_there_and_each_is_told_its_place(m: Rig) -> None:
    run = await started(m)
    second = call(run, 1)
    await until_held(m, run, 1)
    assert await state_of(m, run) == "STATE_STARTING"
    assert told(await call(run, 0)) == {"addresses": ["10.0.0.1", "10.0.0.2"], "rank": 0, "slots": [3, 1]}
    assert told(await second) == {"addresses": ["10.0.0.1", "10.0.0.2"], "rank": 1, "slots": [3, 1]}
    assert await state_of(m, run) == "STATE_RUNNING"
    # One whose answer was lost asks once more, while the others have gone on.
    assert told(await call(run, 1))["rank"] == 1
    assert m.service.meetings._gatherings == {}


@served
async def test_a_member_that_hung_up_does_not_count(m: Rig) -> None:
    run = await started(m)
    first = call(run, 0)
    await until_held(m, run, 1)
    first.cancel()
    await asyncio.wait([first])
    second = call(run, 1)
    await until_held(m, run, 1)
    assert list(m.service.meetings._gatherings[run.allocation].waiting) == [1]
    assert told(await call(run, 0))["rank"] == 0
    assert told(await second)["rank"] == 1


@served
async def test_members_of_a_run_that_ends_are_sent_away(m: Rig) -> None:
    run = await started(m)
    first = call(run, 0)
    await until_held(m, run, 1)
    await m.launcher.exit(run.allocation, 1)
    refused(await first, 400, "not the current run")
    assert m.service.meetings._gatherings == {}


@served
async def test_who_is_no_member_is_refused(m: Rig) -> None:
    run = await started(m)
    refused(await call(run, 2), 400, "its members are")
