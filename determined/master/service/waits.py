"""Requests that wait for news: events, the next operation, preemption. Nothing here polls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from determined.domain.ids import ExperimentId
from determined.domain.states import ExperimentState
from determined.engine.hold import Situation, hold_s
from determined.engine.slots import SlotPool
from determined.errors import FailedPrecondition, StaleRun, Unavailable
from determined.master.service.commit import Commits
from determined.master.service.hub import Hub, Listener
from determined.master.service.lane import Lane
from determined.master.service.ports import EventsAnswer, NextOperation, RunKey
from determined.storage.protocol import Store

EVENTS_WAIT_S = 60.0
ATTACHED_FOR_S = 10.0
"""A search runner counts as attached for so long after its last poll."""


class Waits:
    """Long polls, woken by the commits that make their news."""

    def __init__(
        self, commits: Commits, store: Store, hub: Hub, pool: SlotPool, is_crowded: Callable[[], bool]
    ) -> None:
        self.commits = commits
        self.store = store
        self.hub = hub
        self.pool = pool
        self.is_crowded = is_crowded

    async def events(self, experiment_id: ExperimentId) -> EventsAnswer:
        """See ``Service.fetch_events``."""
        deadline = _now() + EVENTS_WAIT_S
        with self.hub.listen(("experiment", experiment_id)) as news:
            while True:
                lane = await self.commits.lane(experiment_id)
                if lane is None:
                    return EventsAnswer(inactive_state=await self._final_state(experiment_id))
                _require_custom(lane)
                state = lane.engine.state
                if state is ExperimentState.PAUSED:
                    return EventsAnswer(inactive_state=state.value)
                if state is ExperimentState.ACTIVE and lane.queue:
                    return EventsAnswer(events=[raw for _, raw in lane.queue])
                if not await self._poll(lane, news, deadline):
                    if self.hub.closed and not state.is_running:
                        # A runner would take a stopping state for the end of the search.
                        raise Unavailable("the master is stopping; try again once it is back")
                    return EventsAnswer(inactive_state=None if state.is_running else state.value)

    async def _poll(self, lane: Lane, news: Listener, deadline: float) -> bool:
        lane.polls += 1
        self.hub.tell(("answered", lane.id))
        try:
            return await news.wait(max(deadline - _now(), 0.0))
        finally:
            lane.polls -= 1
            lane.polled_at = _now()

    async def _final_state(self, experiment_id: ExperimentId) -> str:
        record = await self.store.get_experiment(experiment_id)
        if record.searcher_type != "custom":
            raise _not_custom(experiment_id, record.searcher_type)
        return record.state.value

    async def operation(self, run: RunKey) -> NextOperation:
        """See ``Service.next_operation``."""
        started = _now()
        topics = (("operation", run.trial_id), ("answered", run.experiment_id), "slots wanted")
        with self.hub.listen(*topics) as news:
            while True:
                lane = await self.commits.lane(run.experiment_id)
                trial = None if lane is None else lane.engine.trials.get(run.trial_id)
                if lane is None or trial is None:
                    raise StaleRun(f"trial {run.trial_id} is over; its run {run.run_id} gets no more operations")
                lane.engine.current_run(run.trial_id, run.run_id)
                if not trial.complete:
                    await self._settle(lane)
                    return NextOperation(trial.length or 0, completed=False)
                left = hold_s(trial, self._situation(lane, run, started))
                if left <= 0.0 or not await news.wait(left):
                    await self._settle(lane)
                    return NextOperation(trial.length or 0, completed=trial.complete)

    async def _settle(self, lane: Lane) -> None:
        """Answer only with what is durable."""
        if lane.tail is not None and not lane.tail.done():
            await asyncio.shield(lane.tail)

    def _situation(self, lane: Lane, run: RunKey, asked_at: float) -> Situation:
        now = _now()
        return Situation(
            now=now,
            asked_at=asked_at,
            answered=lane.answered,
            answered_at=lane.answered_at,
            attached=not lane.is_custom or lane.polls > 0 or now - lane.polled_at < ATTACHED_FOR_S,
            contested=self.pool.others_waiting(run.trial_id, run.run_id) or self.is_crowded(),
        )

    async def preemption(self, run: RunKey, timeout_s: float) -> bool:
        """See ``Service.preemption``."""
        deadline = _now() + timeout_s
        with self.hub.listen(("preempt", run.trial_id)) as news:
            while True:
                lane = await self.commits.lane(run.experiment_id)
                if lane is None:
                    raise StaleRun(f"run {run.run_id} of trial {run.trial_id} is over")
                _, live = lane.engine.current_run(run.trial_id, run.run_id)
                if live.preempted or live.killed:
                    return True
                left = deadline - _now()
                if left <= 0.0 or not await news.wait(left):
                    return False


def _now() -> float:
    return asyncio.get_running_loop().time()


def _require_custom(lane: Lane) -> None:
    if not lane.is_custom:
        raise _not_custom(lane.id, lane.record.searcher_type)


def _not_custom(experiment_id: ExperimentId, searcher: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"experiment {experiment_id} has the searcher {searcher!r}, which the master runs itself; "
        "only custom searches hand out their events"
    )
