"""Whole simulated searches, stored in both stores: the same answers, also after the durable one is reopened.

Here units are what the real service writes, in the order in which it does; ``tests/property`` makes them at random.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from determined.domain.ids import TrialId
from determined.domain.records import Experiment
from determined.domain.states import CheckpointState, TrialState
from determined.engine.experiment import Experiment as Engine
from determined.master.service.loading import load_lane
from determined.storage.memory import MemoryStore
from determined.storage.protocol import ExperimentFilter, LogFilter, Mutation, Order, Page, Store
from determined.storage.sql import SqlStore
from tests.simulation.disk import EXPERIMENT
from tests.simulation.real_world import RealWorld
from tests.simulation.world import World, simulate

Unit = tuple[Sequence[Mutation], int | None]
LOOKS = 4
"""How often both are looked at in the course of a search."""


@pytest.mark.parametrize("seed", range(8))
def test_both_stores_tell_the_same_of_a_search(seed: int, tmp_path: Path) -> None:
    worlds: list[World] = []
    simulate(seed, seen=worlds, make=RealWorld)
    [world] = worlds
    assert isinstance(world, RealWorld)
    asyncio.run(_compare(world.store.units, f"sqlite:///{tmp_path}/store.db", random.Random(seed)))


async def _compare(units: Sequence[Unit], url: str, chance: random.Random) -> None:
    memory = MemoryStore()
    await memory.open()
    cuts = sorted(chance.sample(range(1, len(units)), LOOKS - 1))
    for first, last in zip([0, *cuts], [*cuts, len(units)], strict=True):
        durable = SqlStore(url)
        await durable.open()
        for store in (durable, memory):
            # All at once, as they come: the durable store writes many of them together.
            await asyncio.gather(*[store.write(unit, lane) for unit, lane in units[first:last]])
        await _agree(durable, memory)
        await durable.close()
    durable = SqlStore(url)
    await durable.open()
    await _agree(durable, memory)
    await durable.close()


async def _agree(durable: Store, memory: Store) -> None:
    found, expected = await _everything(durable), await _everything(memory)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == value, name


async def _everything(store: Store) -> dict[str, Any]:
    found: dict[str, Any] = {"ids": await store.next_ids(), "unfinished": await store.list_unfinished()}
    found["experiments"] = await store.list_experiments(ExperimentFilter(), Order("SEARCHER_METRIC_VAL"), Page())
    found["engine"] = await store.load_engine(EXPERIMENT)
    found["journal"] = await store.read_journal(EXPERIMENT, 0, 100_000)
    found["events"] = await store.read_events(EXPERIMENT, 0, 100_000)
    found["batches"] = [await store.find_batch(EXPERIMENT, n) for n in range(len(found["events"]) + 1)]
    states = tuple(TrialState)
    found["trials"] = await store.list_trials(EXPERIMENT, states, Order("BEST_VALIDATION_METRIC", True), Page())
    found["checkpoints"] = await store.list_checkpoints(EXPERIMENT, None, (), Order("SEARCHER_METRIC"), Page())
    completed = (CheckpointState.COMPLETED,)
    found["completed"] = await store.list_checkpoints(EXPERIMENT, None, completed, Order("BATCH_NUMBER"), Page(2, 5))
    trials = [TrialId(t) for t in await store.trial_ids(EXPERIMENT)]
    found["best"] = await store.best_checkpoints(trials)
    found["metrics"] = await store.list_metrics(trials, [], 0, 100_000)
    for trial in trials:
        found[f"runs of {trial}"] = await store.list_runs(trial)
        found[f"live metrics of {trial}"] = await store.list_trial_metrics(trial)
        found[f"log of {trial}"] = await store.read_logs(trial, LogFilter(), 0, None, False)
    for record in found["unfinished"]:
        found["lane"] = await _lane(store, record)
    return found


async def _lane(store: Store, record: Experiment) -> tuple[object, ...]:
    """What a master would make of it."""
    if record.state.is_terminal:
        return ()
    lane = await load_lane(store, record)
    queue = [(number, bytes(raw)) for number, raw in lane.queue]
    return (_picture(lane.engine), queue, lane.seq, lane.unsaved, lane.epoch, lane.runs, lane.counts)


def _picture(engine: Engine) -> tuple[object, ...]:
    head = (engine.state, engine.progress, engine.message, engine.ended_at, engine.last_event, engine.answered)
    return (*head, repr(sorted(engine.trials.items())), repr(sorted(engine.index.items())))
