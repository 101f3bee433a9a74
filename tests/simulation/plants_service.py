"""Bugs to plant in the real service of the master."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from determined.domain.facts import ExperimentCreated
from determined.domain.ids import ExperimentId
from determined.errors import StaleRun, StorageFailed
from determined.master.service.commit import Commits
from determined.master.service.lane import Lane
from determined.master.service.service import MasterService
from tests.simulation import plants
from tests.simulation.plants import Patch


def answer_before_the_commit(patch: Patch) -> None:
    """Reports and answers are acknowledged while they are on their way to the disk."""

    async def commit(self: Commits, lane: Lane, fact: Any, extra: Any = (), before: Any = ()) -> None:
        stored = self.submit(lane, fact, extra, before)
        if isinstance(fact, ExperimentCreated):
            await asyncio.shield(stored)

    patch.setattr(Commits, "commit", commit)


def give_up_on_a_full_disk(patch: Patch) -> None:
    """What the world has made true is told once, whether it could be stored or not."""

    async def persist(self: Commits, experiment_id: ExperimentId, make: Callable[[], Any]) -> None:
        lane = await self.lane(experiment_id)
        if lane is not None:
            try:
                await self.commit(lane, make())
            except (StaleRun, StorageFailed):
                return

    patch.setattr(Commits, "persist", persist)


def go_on_with_memory_that_is_ahead(patch: Patch) -> None:
    """After a failed write, the engine that has decided it is used on."""
    patch.setattr(Commits, "_break", lambda self, lane: None)


def compare_no_repetitions(patch: Patch) -> None:
    """A second answer to an event is an error, even if it is the first one again."""

    async def check(self: MasterService, experiment_id: Any, trigger: int, digest: str, says_something: bool) -> None:
        await real(self, experiment_id, trigger, digest[1:], True)

    real = MasterService._check_replay
    patch.setattr(MasterService, "_check_replay", check)


PLANTS: Mapping[str, Callable[[Patch], None]] = {
    plant.__name__: plant
    for plant in (
        answer_before_the_commit,
        give_up_on_a_full_disk,
        go_on_with_memory_that_is_ahead,
        compare_no_repetitions,
        plants.apply_a_repeated_batch_again,
        plants.forget_names_of_reports,
        plants.redo_nothing_after_a_restart,
        plants.snapshot_without_trials,
        plants.start_runs_anew,
        plants.forget_who_holds_slots,
    )
}
