"""What follows from a change by itself is on its way to the disk together with the change, and never without it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from determined.domain.ids import ExperimentId
from determined.errors import StorageFailed
from determined.master.service import commit
from determined.methods.random import RandomSearch
from determined.storage import protocol as db
from determined.storage.memory import MemoryStore
from tests.integration.api_rig import Rig, Running, create_trial, make_rig, ok, request_id, validate_after

RANDOM = """
name: a test
entrypoint: python train.py
searcher: {name: random, metric: loss, max_length: 1, max_trials: 4, max_concurrent_trials: %d}
resources: {slots_per_trial: 1}
"""


class Watched(MemoryStore):
    """Tells when each fact was submitted, and when it was durable; fails where a test says so.

    Attributes:
        story: ("submitted" or "durable", kind of fact), in order.
        to_fail: kinds of facts that are not stored the next time.
        seen: set when a fact of this kind is submitted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.story: list[tuple[str, str]] = []
        self.to_fail: list[str] = []
        self.seen: dict[str, asyncio.Event] = {}
        self._closed: set[int | None] = set()

    def write(self, unit: Sequence[Any], lane: int | None = None) -> asyncio.Future[None]:
        """Note it."""
        kind = next((m.row.kind for m in unit if isinstance(m, db.AppendJournal)), "")
        self.story.append(("submitted", kind))
        if kind in self.seen:
            self.seen[kind].set()
        if lane in self._closed or kind in self.to_fail:
            if kind in self.to_fail:
                self.to_fail.remove(kind)
                self._closed.add(lane)
            failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            failed.set_exception(StorageFailed("the disk is full"))
            return failed
        written = super().write(unit, lane)
        written.add_done_callback(lambda _: self.story.append(("durable", kind)))
        return written

    def reopen_lane(self, lane: int) -> None:
        """Let its units pass again."""
        self._closed.discard(lane)
        super().reopen_lane(lane)


def on_one_slot(test: Callable[[Rig, Watched], Awaitable[None]]) -> None:
    """Play a test on a master with one slot."""

    async def play() -> None:
        with tempfile.TemporaryDirectory() as folder:
            store = Watched()
            rig = await make_rig(Path(folder), store, slots=1)
            try:
                async with rig.client:
                    await test(rig, store)
            finally:
                await rig.service.stop()
                rig.auth.close()

    asyncio.run(play())


async def next_run(rig: Rig, number: int) -> Running:
    """The so many-th run of all, past its start line."""
    allocation = (await rig.launcher.started_count(number))[-1]
    running = await rig.attach_to(int(allocation.partition(".")[0]), allocation)
    await running.get(f"/v1/allocations/{allocation}/resources/r/rendezvous")
    await rig.launcher.running(allocation)
    return running


async def completed(running: Running) -> httpx.Response:
    """Complete the only operation."""
    body = {"op": {"length": "1"}, "searcherMetric": 0.5}
    return await running.call("POST", f"/v1/trials/{running.trial}/searcher/completed_operation", body)


async def finish(running: Running) -> None:
    """Complete the only operation, and end."""
    ok(await completed(running))
    await leave(running)


async def leave(running: Running) -> None:
    """End."""
    await running.post(f"/v1/allocations/{running.allocation}/signals/ack_preemption")
    await running.rig.launcher.exit(running.allocation, 0)


async def until_over(rig: Rig, experiment: int) -> str:
    """The final state of a search."""
    state = ""
    async for summary in rig.service.watch(ExperimentId(experiment), follow=True):
        state = summary["state"]
    return state


def place(story: Sequence[tuple[str, str]], what: str, kind: str) -> int:
    """Where something happened for the first time."""
    return story.index((what, kind))


def test_the_end_of_a_run_its_answer_and_the_next_slots_are_submitted_together() -> None:
    async def play(rig: Rig, store: Watched) -> None:
        experiment = await rig.create(RANDOM % 1)
        first = await next_run(rig, 1)
        store.story.clear()
        started = list(rig.launcher.starts)
        await finish(first)
        await next_run(rig, 2)
        story = store.story[: place(store.story, "durable", "slots_granted")]
        begun = place(story, "submitted", "run_exited")
        kinds = [kind for what, kind in story[begun:] if what == "submitted"]
        assert kinds[:3] == ["run_exited", "operations_posted", "slots_granted"]
        assert place(story, "submitted", "slots_granted") < place(story, "durable", "run_exited")
        # A completed operation is answered at once, too.
        answered = place(story, "submitted", "operations_posted")
        assert story[answered - 1] == ("submitted", "operation_completed")
        assert len(rig.launcher.starts) == len(started) + 1
        for number in (2, 3, 4):
            await finish(await next_run(rig, number))
        assert await until_over(rig, experiment) == "STATE_COMPLETED"

    on_one_slot(play)


def test_no_process_is_started_before_its_grant_is_durable() -> None:
    async def play(rig: Rig, store: Watched) -> None:
        begun: list[tuple[int, int]] = []
        start = rig.launcher.start

        async def starting(spec: Any) -> None:
            granted = [number for number, entry in enumerate(store.story) if entry == ("durable", "slots_granted")]
            begun.append((len(rig.launcher.starts) + 1, len(granted)))
            await start(spec)

        rig.launcher.start = starting  # type: ignore[method-assign]
        experiment = await rig.create(RANDOM % 2)
        for number in range(1, 5):
            await finish(await next_run(rig, number))
        assert await until_over(rig, experiment) == "STATE_COMPLETED"
        assert begun == [(n, n) for n in range(1, 5)]

    on_one_slot(play)


def test_slots_that_another_experiment_waits_for_are_given_when_it_is_certain_that_they_are_free() -> None:
    async def play(rig: Rig, store: Watched) -> None:
        first = await rig.create(RANDOM % 1)
        run = await next_run(rig, 1)
        other = await rig.create()
        rid = request_id(1)
        ok(await rig.operate(other, None, create_trial(rid), validate_after(rid, 1)))
        store.story.clear()
        await finish(run)
        second = await next_run(rig, 2)
        assert (first, second.experiment) == (run.experiment, other)
        assert place(store.story, "durable", "run_exited") < place(store.story, "submitted", "slots_granted")

    on_one_slot(play)


@pytest.mark.parametrize("kind", ["run_exited", "operations_posted", "slots_granted", "operation_completed"])
def test_what_followed_from_a_change_that_was_not_stored_is_forgotten_with_it(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "RETRY_FIRST_S", 0.001)

    async def play(rig: Rig, store: Watched) -> None:
        experiment = await rig.create(RANDOM % 1)
        for number in range(1, 5):
            run = await next_run(rig, number)
            store.to_fail.append(kind)
            # A run that is told that its report was not stored sends it again.
            while (answer := await completed(run)).status_code != 200:
                assert "disk is full" in answer.text or "being read again" in answer.text
            await leave(run)
        assert await until_over(rig, experiment) == "STATE_COMPLETED"
        trials = (await rig.get(f"/v1/experiments/{experiment}/trials"))["trials"]
        assert [trial["state"] for trial in trials] == ["STATE_COMPLETED"] * 4
        assert rig.launcher.starts == list(dict.fromkeys(rig.launcher.starts))
        assert rig.service.pool.held == {}
        assert rig.service.pool.free == [0]

    on_one_slot(play)


def test_a_slot_that_came_free_without_certainty_is_no_other_experiments() -> None:
    """The end of a run is not stored; another experiment's run would have its slot although both are on record."""

    async def play(rig: Rig, store: Watched) -> None:
        experiment = await rig.create(RANDOM.replace("max_trials: 4", "max_trials: 1") % 1)
        run = await next_run(rig, 1)
        other = await rig.create()
        ok(await completed(run))
        await run.post(f"/v1/allocations/{run.allocation}/signals/ack_preemption")
        store.to_fail.append("run_exited")
        store.story.clear()
        rid = request_id(1)
        seen = store.seen["run_exited"] = asyncio.Event()
        ended = asyncio.ensure_future(rig.launcher.exit(run.allocation, 0))
        await seen.wait()
        ok(await rig.operate(other, None, create_trial(rid), validate_after(rid, 1)))
        second = await next_run(rig, 2)
        await ended
        assert (experiment, second.experiment) == (run.experiment, other)
        assert place(store.story, "durable", "run_exited") < place(store.story, "submitted", "slots_granted")

    on_one_slot(play)


def test_a_request_whose_trial_was_not_stored_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "RETRY_FIRST_S", 0.001)

    async def play(rig: Rig, store: Watched) -> None:
        first = await rig.create()
        await rig.start_trial(first)
        other = await rig.create()
        store.to_fail.append("operations_posted")
        rid = request_id(2)
        assert (await rig.operate(other, None, create_trial(rid), validate_after(rid, 1))).status_code != 200
        with rig.service.hub.listen(("experiment", other)) as news:
            while (lane := await rig.service.commits.lane(ExperimentId(other))) is None or lane.broken:
                await news.wait()
        assert rig.service.pool.waiting == 0
        assert not rig.service.pool.is_contended(ExperimentId(first))

    on_one_slot(play)


def test_a_method_that_fails_ends_its_search_and_not_the_report_that_it_was_asked_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("a mistake in the method")

    async def play(rig: Rig, store: Watched) -> None:
        experiment = await rig.create(RANDOM % 1)
        run = await next_run(rig, 1)
        monkeypatch.setattr(RandomSearch, "on_validation_completed", fail)
        ok(await completed(run))
        assert await until_over(rig, experiment) == "STATE_ERROR"
        record = await rig.store.get_experiment(ExperimentId(experiment))
        assert "ZeroDivisionError: a mistake in the method" in record.message

    on_one_slot(play)
