"""The simulated world with the real service in the place of the model master."""

from __future__ import annotations

import tempfile
from pathlib import Path

from determined.master.service import rows
from tests.simulation.real_master import RealMaster
from tests.simulation.real_store import SimulatedStore
from tests.simulation.world import Life, Outcome, World


class RealWorld(World):
    """Everybody else is as in ``World``, so that both come to the same ends."""

    option = " --real"

    def prepare(self) -> None:
        self.store = SimulatedStore(self)
        self._folder = tempfile.TemporaryDirectory()

    def make_master(self, number: int) -> Life:
        return RealMaster(self, self.store, Path(self._folder.name), number)

    def play(self) -> Outcome:
        usual = rows.SNAPSHOT_EVERY
        rows.SNAPSHOT_EVERY = self.setup.snapshot_every
        try:
            return super().play()
        finally:
            rows.SNAPSHOT_EVERY = usual
            if self.master.alive:
                self.master.die()
            self._folder.cleanup()
