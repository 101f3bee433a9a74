"""Performs effects on the world once they are durable: slots, processes, signals, deadlines.

Every action is idempotent by the run's allocation id, and its outcome comes back as a fact. Actions on one run happen
one after the other, in the order of their commits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from determined.domain import facts
from determined.domain.ids import ExperimentId, RunId, TrialId, allocation_id
from determined.engine import effects as fx
from determined.engine.effects import Effect
from determined.engine.slots import DEFAULT_PRIORITY, Grant, Request, SlotPool
from determined.errors import DeterminedError
from determined.launchers.protocol import Launcher
from determined.master.service.commit import Commits
from determined.master.service.hub import Hub
from determined.master.service.lane import Lane, run_of
from determined.master.service.runs import RunSpecs

log = logging.getLogger("determined.master")
Clock = Callable[[], float]


class Dispatcher:
    """Turns committed effects into actions."""

    def __init__(
        self, commits: Commits, hub: Hub, launcher: Launcher, specs: RunSpecs, clock: Clock, pool: SlotPool
    ) -> None:
        self.commits = commits
        self.hub = hub
        self.launcher = launcher
        self.specs = specs
        self.clock = clock
        self.pool = pool
        self._granting = False
        self._last: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._alarms: dict[tuple[TrialId, RunId], list[asyncio.TimerHandle]] = {}
        self.on_ended: Callable[[Lane, fx.ExperimentEnded], Coroutine[Any, Any, None]] | None = None

    def perform(self, lane: Lane, effect: Effect) -> None:
        """Begin an action; never waits, never raises."""
        if isinstance(effect, fx.SlotsWanted):
            self.want(lane, effect)
        elif isinstance(effect, fx.SlotsWithdrawn):
            self.pool.withdraw(effect.trial_id, effect.run_id)
            self.grant_soon()
        elif isinstance(effect, fx.RunStart):
            self._start(lane, effect)
        elif isinstance(effect, fx.RunKill):
            self._kill(lane, effect)
        elif isinstance(effect, fx.RunPreempt):
            self.pool.leaves(effect.trial_id, effect.run_id)
            self.hub.tell(("preempt", effect.trial_id))
        elif isinstance(effect, fx.RunEnded):
            self._end(lane, effect)
        elif isinstance(effect, fx.DeadlineSet):
            self._set_alarm(lane, effect)
        elif isinstance(effect, fx.RunFound):
            self._take_up(lane, effect)
        elif isinstance(effect, fx.ExperimentEnded):
            self.pool.forget(lane.id)
            if self.on_ended is not None:
                self.spawn(self.on_ended(lane, effect))

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something in the background; its failure is logged."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._reap)
        return task

    def _reap(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("an action of the master failed", exc_info=task.exception())

    async def close(self) -> None:
        """Stop acting; what is not done is done again after the next start."""
        for alarms in self._alarms.values():
            for alarm in alarms:
                alarm.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Slots

    def request(self, lane: Lane, trial_id: TrialId, run_id: RunId) -> Request:
        """What a run asks of the pool."""
        return Request(self.priority(lane), lane.id, trial_id, run_id, lane.config.resources.slots_per_trial)

    def priority(self, lane: Lane) -> int:
        """How important the runs of an experiment are: 1 is the most."""
        given = lane.config.resources.priority
        return DEFAULT_PRIORITY if given is None else given

    def set_share(self, lane: Lane) -> None:
        """Tell the pool how many slots an experiment may have, and how many for its weight."""
        self.pool.set_limit(lane.id, lane.config.resources.max_slots)
        self.pool.set_weight(lane.id, lane.config.resources.weight)

    def want(self, lane: Lane, effect: fx.SlotsWanted) -> None:
        """Queue a run for slots."""
        self.set_share(lane)
        self.pool.want(self.request(lane, effect.trial_id, effect.run_id))
        self.grant_soon()

    def grant_ahead(self, lane: Lane, moved: Sequence[Effect]) -> None:
        """Submit grants for runs of an experiment at once, after the unit that asks for them or makes room for them.

        Only where nobody else waits, and only what came free that this experiment takes again: another experiment's
        unit might get to the disk when that one does not.

        Args:
            moved: what is not durable yet: runs that ended, and runs that want slots.
        """
        if self.pool.is_contended(lane.id):
            return
        self.set_share(lane)
        for effect in moved:
            if isinstance(effect, fx.SlotsWanted):
                self.pool.want(self.request(lane, effect.trial_id, effect.run_id))
        ended = [effect for effect in moved if isinstance(effect, fx.RunEnded)]
        # All of its runs are equally wide.
        for effect in ended[: self.pool.waiting_of(lane.id)]:
            self.pool.release(effect.trial_id, effect.run_id)
        for grant in self.pool.grant():
            try:
                told = self.commits.submit(lane, self._granted(grant))
            except DeterminedError:
                # The experiment is read again, say. Whatever it is, this tries again, or finds out that it is in vain.
                self.spawn(self._commit_grant(grant))
            else:
                told.add_done_callback(partial(self._on_told, grant))

    def forget_unknown(self, lane: Lane) -> None:
        """Take back the requests of runs that an experiment does not have, once it has been read again."""
        for trial_id, run_id in self.pool.keys_of(lane.id):
            trial = lane.engine.trials.get(trial_id)
            if trial is None or trial.run is None or trial.run.run_id != run_id:
                self.pool.withdraw(trial_id, run_id)
        self.grant_soon()

    def _on_told(self, grant: Grant, told: asyncio.Future[None]) -> None:
        if told.cancelled() or told.exception() is not None:
            self.spawn(self._commit_grant(grant))
        else:
            self._after_grant(grant)

    def grant_soon(self) -> None:
        """Grant once for all effects of this round of the loop, so that order does not depend on their order."""
        if not self._granting:
            self._granting = True
            asyncio.get_running_loop().call_soon(self._grant)

    def _grant(self) -> None:
        self._granting = False
        for grant in self.pool.grant():
            self.spawn(self._commit_grant(grant))
        for request in self.pool.reclaim():
            self.spawn(self._ask_to_leave(request))
        if self.pool.waiting:
            self.hub.tell("slots wanted")

    def _granted(self, grant: Grant) -> facts.SlotsGranted:
        request = grant.request
        return facts.SlotsGranted(
            at=self.clock(),
            trial_id=request.trial_id,
            run_id=request.run_id,
            slot_ids=grant.slot_ids,
            agent=self.launcher.name,
        )

    async def _commit_grant(self, grant: Grant) -> None:
        await self.commits.persist(grant.request.experiment_id, lambda: self._granted(grant))
        self._after_grant(grant)

    def _after_grant(self, grant: Grant) -> None:
        request = grant.request
        lane = self.commits.lanes.get(request.experiment_id)
        if lane is None or run_of(lane, request.trial_id, request.run_id) is None:
            # The run was withdrawn, or is over already, while its grant was on the way.
            self.pool.release(request.trial_id, request.run_id)
            self.grant_soon()
        elif self.pool.is_leaving(request.trial_id, request.run_id):
            # It was to make room for another while it did not have its slots yet, so nobody could tell it.
            self.spawn(self._ask_to_leave(request))

    async def _ask_to_leave(self, request: Request) -> None:
        """Ask a run to save and leave, because a more important one waits for its slots."""
        await self.commits.persist(
            request.experiment_id,
            lambda: facts.PreemptionRequested(
                at=self.clock(), trial_id=request.trial_id, run_id=request.run_id, for_priority=True
            ),
        )

    # Processes

    def _in_order(self, allocation_id: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        before = self._last.get(allocation_id)

        async def act() -> None:
            if before is not None:
                await asyncio.wait([before])
            await work()

        self._last[allocation_id] = self.spawn(act())

    def _start(self, lane: Lane, effect: fx.RunStart) -> None:
        run = run_of(lane, effect.trial_id, effect.run_id)
        if run is None:
            return

        async def start() -> None:
            try:
                spec = await self.specs.make(lane, run, effect.checkpoint, effect.steps)
            except Exception as e:  # Whatever it is, the trial must not wait for ever.
                log.exception("run %s cannot be prepared", run.allocation_id)
                await self._report_end(lane.id, effect.trial_id, effect.run_id, 1, f"it could not be prepared: {e}")
                return
            await self.launcher.start(spec)

        self._in_order(run.allocation_id, start)

    def _kill(self, lane: Lane, effect: fx.RunKill) -> None:
        run = run_of(lane, effect.trial_id, effect.run_id)
        self.pool.leaves(effect.trial_id, effect.run_id)
        self.hub.tell(("preempt", effect.trial_id))
        if run is not None:
            self._in_order(run.allocation_id, lambda: self.launcher.kill(run.allocation_id))

    def _take_up(self, lane: Lane, effect: fx.RunFound) -> None:
        run = run_of(lane, effect.trial_id, effect.run_id)
        if run is None:
            return
        self.pool.hold(self.request(lane, effect.trial_id, effect.run_id), effect.slot_ids)

        async def take_up() -> None:
            if await self.launcher.adopt(run.allocation_id, run.lines):
                return
            if effect.started:
                await self._report_end(lane.id, effect.trial_id, effect.run_id, None, "nothing is left of it")
            else:
                start = fx.RunStart(effect.trial_id, effect.run_id, effect.slot_ids, effect.checkpoint, effect.steps)
                self._start(lane, start)

        self._in_order(run.allocation_id, take_up)

    async def _report_end(
        self, experiment_id: ExperimentId, trial_id: TrialId, run_id: RunId, code: int | None, reason: str
    ) -> None:
        await self.commits.persist(
            experiment_id,
            lambda: facts.RunExited(at=self.clock(), trial_id=trial_id, run_id=run_id, code=code, reason=reason),
        )

    def _end(self, lane: Lane, effect: fx.RunEnded) -> None:
        self.pool.release(effect.trial_id, effect.run_id)
        for alarm in self._alarms.pop((effect.trial_id, effect.run_id), []):
            alarm.cancel()
        ended = allocation_id(lane.id, effect.request_id, effect.run_id)
        self.commits.live.pop(ended, None)
        self._last.pop(ended, None)
        self.hub.tell(("preempt", effect.trial_id))
        self.grant_soon()

    # Deadlines

    def _set_alarm(self, lane: Lane, effect: fx.DeadlineSet) -> None:
        def ring() -> None:
            fact = facts.DeadlinePassed(
                at=self.clock(), trial_id=effect.trial_id, run_id=effect.run_id, kind=effect.kind
            )
            self.spawn(self.commits.persist(lane.id, lambda: fact))

        handle = asyncio.get_running_loop().call_later(effect.after_s, ring)
        self._alarms.setdefault((effect.trial_id, effect.run_id), []).append(handle)
