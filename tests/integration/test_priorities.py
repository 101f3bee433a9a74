"""Experiments of different importance or weight on the same slots."""

from __future__ import annotations

from typing import Any

from tests.integration.api_rig import (
    CONFIG,
    Rig,
    Running,
    close_trial,
    create_trial,
    ok,
    request_id,
    served,
    validate_after,
)

WIDE = CONFIG.replace("slots_per_trial: 1", "slots_per_trial: 4")


def at(priority: int, config: str = WIDE) -> str:
    """The configuration with a priority; a trial of it takes all slots."""
    return config.replace("resources: {", f"resources: {{priority: {priority}, ")


async def ask_for_trial(m: Rig, experiment: int, number: int) -> str:
    """Create a trial that nobody starts yet; the name of its run."""
    rid = request_id(number)
    ok(await m.operate(experiment, None, create_trial(rid), validate_after(rid, 100)))
    return f"{experiment}.{rid}.1"


async def is_asked(t: Running, within_s: int = 0) -> bool:
    answer = await t.get(f"/v1/allocations/{t.allocation}/signals/preemption?timeout_seconds={within_s}")
    return bool(answer["preempt"])


async def why(m: Rig, allocation: str) -> str:
    text: str = (await m.get("/v1/tasks"))["allocationIdToSummary"][allocation]["waitingFor"]
    return text


@served
async def test_a_run_makes_room_for_a_more_important_one_and_goes_on_afterwards(m: Rig) -> None:
    low = await m.start_trial(await m.create(at(50)), 1)
    saved = await low.checkpoint(77, 40)
    high = await m.create(at(10))
    allocation = await ask_for_trial(m, high, 2)
    # Held until the signal is there.
    assert await is_asked(low, 30)
    assert await why(m, allocation) == "4 slots: 0 of 4 free, 4 when runs leave that were asked to"
    await low.post(f"/v1/allocations/{low.allocation}/signals/ack_preemption")
    await m.launcher.exit(low.allocation, 0)
    important = await m.attach_to(high, allocation)
    assert "4 slots" in await why(m, low.allocation.removesuffix("1") + "2")
    story = " ".join((await m.get(f"/v1/trials/{low.trial}/story"))["sentences"])
    assert "was asked to make room for a more important one" in story
    assert ok(await m.operate(high, None, close_trial(request_id(2)))) == {}
    await important.get(f"/v1/allocations/{allocation}/resources/r/rendezvous")
    await m.post(f"/v1/experiments/{high}/kill")
    await m.launcher.exit(allocation, 137)
    spec: Any = await m.launcher.started(low.allocation.removesuffix("1") + "2")
    assert spec.env["DET_LATEST_CHECKPOINT"] == saved
    trial = (await m.get(f"/v1/trials/{low.trial}"))["trial"]
    assert trial["restarts"] == 0


@served
async def test_equals_wait_for_each_other(m: Rig) -> None:
    low = await m.start_trial(await m.create(WIDE), 1)
    other = await ask_for_trial(m, await m.create(WIDE), 2)
    assert await why(m, other) == "4 slots: 0 of 4 free"
    assert not await is_asked(low)


@served
async def test_another_priority_takes_effect_while_both_experiments_run(m: Rig) -> None:
    low = await m.start_trial(await m.create(WIDE), 1)
    high = await m.create(WIDE)
    await ask_for_trial(m, high, 2)
    assert not await is_asked(low)
    ok(await m.call("PATCH", f"/v1/experiments/{high}", {"resources": {"priority": 41}}))
    assert await is_asked(low, 30)


@served
async def test_a_run_that_is_less_important_from_now_on_makes_room(m: Rig) -> None:
    first = await m.create(WIDE)
    low = await m.start_trial(first, 1)
    await ask_for_trial(m, await m.create(WIDE), 2)
    ok(await m.call("PATCH", f"/v1/experiments/{first}", {"resources": {"priority": 43}}))
    assert await is_asked(low, 30)


@served
async def test_equals_share_the_slots_by_their_weights_and_the_others_are_told_why_they_wait(m: Rig) -> None:
    weighted = CONFIG.replace("resources: {", "resources: {weight: 3, ")
    light, heavy = await m.create(CONFIG), await m.create(weighted)
    block = await m.start_trial(await m.create(at(10)), 1)
    runs = [(e, await ask_for_trial(m, e, 10 * e + n)) for e in (light, heavy) for n in range(4)]
    await m.post(f"/v1/experiments/{block.experiment}/kill")
    await m.launcher.exit(block.allocation, 137)
    for _, allocation in [runs[0], *runs[4:7]]:
        await m.launcher.started(allocation)
    assert await why(m, runs[1][1]) == "1 slot: 0 of 4 free"
    assert await why(m, runs[7][1]) == (
        f"1 slot: 0 of 4 free; experiment {light} is served first: it holds 1 slot at weight 1, "
        "this one 3 slots at weight 3; of equals it was served longer ago"
    )
    ok(await m.call("PATCH", f"/v1/experiments/{heavy}", {"resources": {"weight": 6}}))
    assert await why(m, runs[1][1]) == (
        f"1 slot: 0 of 4 free; experiment {heavy} is served first: it holds 3 slots at weight 6, "
        "this one 1 slot at weight 1"
    )
    await m.attach_to(light, runs[0][1])
    await m.post(f"/v1/experiments/{light}/kill")
    await m.launcher.exit(runs[0][1], 137)
    await m.launcher.started(runs[7][1])
