"""The store in memory as a simulated disk: writes take a while, can fail, and are lost with the master that made them.

Everything that is stored is checked by the same rules as with the model master; a second engine says what each fact had
to lead to.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from determined.domain.ids import UserId
from determined.domain.records import User
from determined.engine.experiment import Experiment
from determined.errors import DeterminedError, StorageFailed
from determined.storage import protocol as db
from determined.storage.memory import MemoryStore
from determined.storage.protocol import Mutation
from determined.wire import journal
from tests.simulation.clock import FACT
from tests.simulation.disk import Disk, Unit, Violation, demand

if TYPE_CHECKING:
    from tests.simulation.real_master import RealMaster
    from tests.simulation.world import World

OWNER = User(id=UserId(1), username="somebody", password_hash="")


class SimulatedStore(MemoryStore):
    """Outlives masters. A write is stored a little later, in order; what is on its way is lost with its master.

    Attributes:
        units: everything that was ever stored, with its lane.
        shadow: an engine that is told each stored fact.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self._open = True
        self.world = world
        self.disk: Disk = world.disk
        self.shadow = Experiment(self.disk.settings)
        self.master: RealMaster | None = None
        self.pending: list[tuple[Sequence[Mutation], int | None, asyncio.Future[None]]] = []
        self.units: list[tuple[Sequence[Mutation], int | None]] = []
        self._store([db.PutUser(OWNER)], None)

    def write(self, unit: Sequence[Mutation], lane: int | None = None) -> asyncio.Future[None]:
        assert self.master is not None
        written: asyncio.Future[None] = self.master.loop.create_future()
        self.pending.append((unit, lane, written))
        if len(self.pending) == 1:
            delay_s = self.world.clock.random.uniform(0.001, 0.02)
            self.master.later(delay_s, self._commit, "commits")
        return written

    def store_first(self, count: int) -> None:
        """Store the first so many of the units on their way; the others are lost, and nobody is told."""
        for unit, lane, _ in self.pending[:count]:
            self._try(unit, lane)
        self.pending.clear()

    def _commit(self) -> None:
        if self.world.faults.dies_at_commit():
            self.world.crash_master()
            return
        failed = self.world.faults.disk_fails()
        pending, self.pending = self.pending, []
        for unit, lane, written in pending:
            error: DeterminedError | None
            if failed:
                error = StorageFailed("the disk is full")
                self._closed_lanes.update(() if lane is None else (lane,))
            else:
                error = self._try(unit, lane)
            if written.cancelled():
                continue
            if error is None:
                written.set_result(None)
            else:
                written.set_exception(error)

    def _try(self, unit: Sequence[Mutation], lane: int | None) -> DeterminedError | None:
        assert self.master is not None
        try:
            with self.master.loop.noticing(Violation):
                self._store(unit, lane)
        except DeterminedError as e:
            self._tables.take_back()
            self._closed_lanes.update(() if lane is None else (lane,))
            return e
        return None

    def _store(self, unit: Sequence[Mutation], lane: int | None) -> None:
        self._apply(unit, lane)
        self._tables.keep()
        self.units.append((unit, lane))
        rows = [m.row for m in unit if isinstance(m, db.AppendJournal)]
        demand(len(rows) <= 1, "a unit holds two facts")
        for row in rows:
            fact = journal.from_row(row)
            self.world.clock.note(FACT, f"{type(fact).__name__} {getattr(fact, 'trial_id', '')}")
            effects = self.shadow.handle(fact)
            known = len(self.disk.events)
            head = (self.shadow.state, self.shadow.progress)
            parts = {m.part: m.body for m in unit if isinstance(m, db.PutState)}
            self.disk.store(Unit(fact, effects, row, parts, head, None, _extra(unit)))
            bodies = [m.row.body for m in unit if isinstance(m, db.AppendEvent)]
            demand(bodies == self.disk.events[known:], f"other events are stored with {fact} than follow from it")


def _extra(unit: Sequence[Mutation]) -> tuple[str, Any, Any] | None:
    for m in unit:
        if isinstance(m, db.PutMetrics):
            row = m.metrics
            return ("metrics", (row.trial_id, row.group, row.steps), json.loads(row.metrics)["loss"])
        if isinstance(m, db.PutCheckpoint):
            return ("checkpoints", m.checkpoint.uuid, (m.checkpoint.trial_id, m.checkpoint.steps))
    return None
