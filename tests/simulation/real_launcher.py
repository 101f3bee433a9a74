"""The launcher's contract over simulated runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from determined.launchers.protocol import LauncherListener, RunExit, RunSpec, Slot, SlotKind
from tests.simulation.disk import Violation
from tests.simulation.launcher import Key, Spec

if TYPE_CHECKING:
    from tests.simulation.real_master import RealMaster


class Adapter:
    """What one life of a master has of the launcher."""

    name = "simulated"

    def __init__(self, master: RealMaster) -> None:
        self.master = master
        self.world = master.world

    def slots(self) -> Sequence[Slot]:
        return tuple(Slot(n, SlotKind.CPU, f"slot {n}") for n in range(self.world.setup.slots))

    async def open(self, listener: LauncherListener) -> None:
        def hear(key: Key, code: int | None) -> None:
            end = RunExit(code, self.world.clock.now)
            self.master.do(lambda: self.master.loop.start(listener.on_exit(self._name(key), end)))

        self.world.launcher.listener = hear
        await asyncio.sleep(0)

    async def start(self, spec: RunSpec) -> None:
        await self._while()
        with self.master.loop.noticing(Violation):
            self._start(spec)

    def _start(self, spec: RunSpec) -> None:
        cluster = json.loads(spec.info_files["cluster.json"])
        trial = json.loads(spec.info_files["trial.json"])
        self.world.launcher.start(
            Spec(
                trial["trial_id"],
                trial["trial_run_id"],
                tuple(cluster["slot_ids"]),
                cluster["latest_checkpoint"],
                trial["steps_completed"],
            )
        )

    async def adopt(self, allocation_id: str, lines_known: int) -> bool:
        await self._while()
        return self.world.launcher.adopt(self._key(allocation_id))

    async def kill(self, allocation_id: str) -> None:
        await self._while()
        self.world.launcher.kill(self._key(allocation_id))

    async def remove(self, allocation_id: str) -> None:
        await asyncio.sleep(0)

    async def close(self) -> None:
        await asyncio.sleep(0)

    async def _while(self) -> None:
        await asyncio.sleep(self.world.clock.random.uniform(0.001, 0.2))

    def _name(self, key: Key) -> str:
        return self.master.key_of(key).allocation_id

    def _key(self, name: str) -> Key:
        _, request_id, run_id = name.split(".")
        found = [t for t, row in self.world.disk.trials.items() if row.request_id == request_id]
        return found[0], int(run_id)
