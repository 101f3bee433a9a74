"""The one way to change an experiment: engine, journal and tables in one unit, effects after its commit.

``submit`` is synchronous up to the write, so facts of one experiment get their order from the order of the calls. The
returned future resolves when the unit is durable and its news have been told; nothing is answered before that.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, get_args

from determined.domain import facts
from determined.domain.facts import Fact
from determined.domain.ids import ExperimentId, TrialId
from determined.engine import effects as fx
from determined.engine.effects import Effect
from determined.errors import NotFound, StaleRun, StorageFailed
from determined.master.service.hub import Hub
from determined.master.service.lane import Lane
from determined.master.service.loading import load_lane
from determined.master.service.ports import RunKey
from determined.master.service.rows import Events, unit_of
from determined.steps import step
from determined.storage import protocol as db
from determined.storage.protocol import Mutation, Store

log = logging.getLogger("determined.master")

RETRY_FIRST_S = 0.2
RETRY_MOST_S = 10.0
Perform = Callable[[Lane, Effect], None]
LookAhead = Callable[[Lane, Sequence[Effect], Events], None]
"""Is told of each unit as soon as it is on its way to the disk, with what the engine decided and the events in it."""
Witness = Callable[[ExperimentId, Fact | None, Sequence[Effect]], None]
"""Is told each change of an experiment, once it is durable: the fact and what followed, or that people edited it."""


class Commits:
    """All experiments that are not over, and the commits that change them.

    Attributes:
        lanes: by experiment.
        live: runs with a committed grant that have not ended, by allocation id.
        owner: experiment of each trial that is not over.
        witness: who is told of changes; None for nobody, and then telling costs nothing.
        edits: how often this master changed something of an experiment that is no fact of its search.
    """

    def __init__(self, store: Store, hub: Hub) -> None:
        self.store = store
        self.hub = hub
        self.lanes: dict[ExperimentId, Lane] = {}
        self.live: dict[str, RunKey] = {}
        self.owner: dict[TrialId, ExperimentId] = {}
        self.next_trial = TrialId(1)
        self.witness: Witness | None = None
        self.edits: Counter[ExperimentId] = Counter()
        self._perform: Perform = lambda lane, effect: None
        self._look_ahead: LookAhead = lambda lane, effects, events: None
        self._on_reloaded: Callable[[Lane], None] = lambda lane: None
        self._reloading: dict[ExperimentId, asyncio.Task[None]] = {}

    def on_effect(self, perform: Perform) -> None:
        """Who performs effects on the world, once they are durable."""
        self._perform = perform

    def on_reloaded(self, hear: Callable[[Lane], None]) -> None:
        """Who is told of an experiment that was read again, since some of what was submitted was not stored."""
        self._on_reloaded = hear

    def on_submitted(self, look_ahead: LookAhead) -> None:
        """Who may submit at once what follows from a unit. Units of a lane are stored in order or not at all, so what
        follows never outlives its cause; nothing else may be done about a unit before it is durable."""
        self._look_ahead = look_ahead

    async def lane(self, experiment_id: ExperimentId) -> Lane | None:
        """The experiment's lane; None when it is over or never was."""
        reloading = self._reloading.get(experiment_id)
        if reloading is not None:
            await asyncio.shield(reloading)
        return self.lanes.get(experiment_id)

    async def lane_of_trial(self, trial_id: TrialId) -> Lane | None:
        """The lane of a trial's experiment; None when the trial is over or never was."""
        owner = self.owner.get(trial_id)
        return None if owner is None else await self.lane(owner)

    def add(self, lane: Lane) -> None:
        """Take up an experiment that was just created or loaded."""
        self.lanes[lane.id] = lane
        for trial in lane.engine.trials.values():
            self.owner[trial.id] = lane.id
        for trial_id in lane.runs:
            key = lane.run_key(trial_id)
            if key is not None:
                self.live[key.allocation_id] = key

    def submit(
        self, lane: Lane, fact: Fact, extra: Sequence[Mutation] = (), before: Sequence[Mutation] = ()
    ) -> asyncio.Future[None]:
        """Let the engine decide and write what follows.

        Args:
            extra, before: further rows of the same cause, after and before those of the engine.
        Raises:
            DeterminedError: the engine refuses the fact; nothing has changed.
        """
        if lane.broken:
            raise StorageFailed(f"experiment {lane.id} is being read again after a failed write; try again")
        effects = lane.engine.handle(fact)
        if not effects and not extra and type(fact) in _QUIET:
            # Nothing to store, but what the answer relies on may still be on its way to the disk.
            return _done() if lane.tail is None or lane.tail.done() else lane.tail
        lane.seq += 1
        lane.unsaved += 1
        unit, events = unit_of(lane, fact, effects)
        self._note_ids(lane, effects, unit)
        written = self.store.write([*before, *unit, *extra], lane=lane.id)
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        seq = lane.seq
        written.add_done_callback(lambda f: self._finish(f, told, lane, seq, fact, effects, events))
        lane.tail = told
        self._look_ahead(lane, effects, events)
        return told

    async def commit(
        self, lane: Lane, fact: Fact, extra: Sequence[Mutation] = (), before: Sequence[Mutation] = ()
    ) -> None:
        """``submit``, and wait; giving up the wait does not undo anything."""
        await asyncio.shield(self.submit(lane, fact, extra, before))

    def _note_ids(self, lane: Lane, effects: list[Effect], unit: list[Mutation]) -> None:
        """Keep what later facts of this lane need before this one is committed."""
        for effect in effects:
            if isinstance(effect, fx.TrialAdded):
                self.next_trial = TrialId(max(self.next_trial, effect.trial_id + 1))
            elif isinstance(effect, fx.RunEnded):
                lane.runs.pop(effect.trial_id, None)
        for mutation in unit:
            if isinstance(mutation, db.PutRun) and mutation.run.ended_at is None:
                lane.runs[mutation.run.trial_id] = mutation.run

    def _finish(
        self,
        written: asyncio.Future[None],
        told: asyncio.Future[None],
        lane: Lane,
        seq: int,
        fact: Fact,
        effects: list[Effect],
        events: Events,
    ) -> None:
        error = written.exception() if not written.cancelled() else StorageFailed("the master is stopping")
        if error is not None:
            self._break(lane)
            if not told.done():
                told.set_exception(error)
                told.exception()
            return
        lane.published = seq
        self._publish(lane, effects, events)
        if self.witness is not None:
            self.witness(lane.id, fact, effects)
        if not told.done():
            told.set_result(None)

    def _publish(self, lane: Lane, effects: list[Effect], events: Events) -> None:
        """Make a committed unit visible, wake those who wait for it, and start what it asks for."""
        lane.queue.extend(events)
        for effect in effects:
            if isinstance(effect, fx.TrialChanged):
                lane.count_change(effect)
                if effect.state.is_terminal:
                    self.owner.pop(effect.trial_id, None)
                self.hub.tell(("trial", effect.trial_id))
            elif isinstance(effect, fx.EventsAcknowledged):
                lane.acknowledge(effect.event_id)
                lane.answered_at = asyncio.get_running_loop().time()
                self.hub.tell(("answered", lane.id))
            elif isinstance(effect, fx.OperationChanged):
                self.hub.tell(("operation", effect.trial_id))
            elif isinstance(effect, fx.TrialAdded):
                self.owner[effect.trial_id] = lane.id
                lane.count(effect.trial_id, "idle")
            elif isinstance(effect, fx.RunStart):
                key = lane.run_key(effect.trial_id)
                if key is not None:
                    self.live[key.allocation_id] = key
            elif isinstance(effect, fx.LogWritten):
                self.hub.tell(("logs", effect.trial_id))
            elif isinstance(effect, fx.ExperimentEnded):
                self.lanes.pop(lane.id, None)
            name = _STEPS[type(effect)]
            step(f"{name}.before")
            self._perform(lane, effect)
            step(f"{name}.after")
        self.hub.tell(("experiment", lane.id))

    def edited(self, experiment_id: ExperimentId) -> None:
        """Something of an experiment was changed that is no fact of its search: its name, say."""
        self.edits[experiment_id] += 1
        if self.witness is not None:
            self.witness(experiment_id, None, ())

    async def version(self, experiment_id: ExperimentId) -> int:
        """A number that grows with each durable change of an experiment, within the life of this master."""
        lane = self.lanes.get(experiment_id)
        facts_so_far = await self.store.journal_end(experiment_id) if lane is None else lane.published
        return facts_so_far + self.edits[experiment_id]

    # Failure

    def _break(self, lane: Lane) -> None:
        """What the engine holds is ahead of the store: read the experiment again."""
        if lane.broken:
            return
        lane.broken = True
        if self.lanes.get(lane.id) is lane and not self.hub.closed:
            self._reloading[lane.id] = asyncio.ensure_future(self._reload(lane))

    async def _reload(self, lane: Lane) -> None:
        wait_s = RETRY_FIRST_S
        while not self.hub.closed:
            try:
                self.store.reopen_lane(lane.id)
                record = await self.store.get_experiment(lane.id)
                fresh = await load_lane(self.store, record)
            except StorageFailed as e:
                log.warning("experiment %d cannot be read again yet: %s", lane.id, e)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, RETRY_MOST_S)
                continue
            except NotFound:
                self.lanes.pop(lane.id, None)
                break
            fresh.polls, fresh.polled_at = lane.polls, lane.polled_at
            self.add(fresh)
            self._on_reloaded(fresh)
            self.hub.tell(("experiment", lane.id))
            break
        del self._reloading[lane.id]

    async def persist(self, experiment_id: ExperimentId, make: Callable[[], Fact]) -> None:
        """Submit a fact that the world has made true already, until the store takes it.

        Facts about things that are over by now are dropped: the engine knows better.
        """
        wait_s = RETRY_FIRST_S
        while not self.hub.closed:
            lane = await self.lane(experiment_id)
            if lane is None:
                return
            try:
                await self.commit(lane, make())
            except StaleRun:
                return
            except StorageFailed as e:
                log.warning("experiment %d: not stored yet (%s); trying again in %.1f s", experiment_id, e, wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, RETRY_MOST_S)
            else:
                return


async def until_stored(write: Callable[[], Awaitable[None]], closed: Callable[[], bool]) -> None:
    """Repeat a write that must not be lost until the store takes it."""
    wait_s = RETRY_FIRST_S
    while not closed():
        try:
            await write()
        except StorageFailed as e:
            log.warning("not stored yet (%s); trying again in %.1f s", e, wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_MOST_S)
        else:
            return


# Facts that may find everything as they want it already; then there is nothing to record.
_QUIET = frozenset(
    {
        facts.OperationsPosted,
        facts.ExperimentCommanded,
        facts.TrialKillRequested,
        facts.TrialCancelRequested,
        facts.RunSeen,
        facts.OperationCompleted,
        facts.ProgressReported,
        facts.MethodFailed,
        facts.DeadlinePassed,
    }
)


# What the world is to do, and the end of the experiment; for the rest of the effects there is nothing but rows.
_STEPS: Mapping[type[Any], str] = {effect: f"master.effect.{effect.__name__}" for effect in get_args(Effect)}


def _done() -> asyncio.Future[None]:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future
