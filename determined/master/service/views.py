"""Streams for people who wait: the log of a trial, and how a search is doing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec

from determined.domain.facts import Fact
from determined.domain.ids import ExperimentId, TrialId
from determined.domain.records import Experiment, JournalRow, LogRecord, Trial
from determined.domain.states import ExperimentState, RunPhase, TrialState
from determined.engine.slots import SlotPool
from determined.engine.story import story
from determined.master.service.commit import Commits
from determined.master.service.hub import Hub
from determined.master.service.lane import Lane
from determined.storage.protocol import LogFilter, Order, Page, Store
from determined.wire import journal

LINES_AT_ONCE = 1000
FACTS_AT_ONCE = 1000
MOST_SUMMARIES_A_SECOND = 5


class Views:
    """Long answers that grow with the commits."""

    def __init__(self, commits: Commits, store: Store, hub: Hub, pool: SlotPool) -> None:
        self.commits = commits
        self.store = store
        self.hub = hub
        self.pool = pool

    async def follow_logs(self, trial_id: TrialId, where: LogFilter) -> AsyncIterator[Sequence[LogRecord]]:
        """See ``Service.follow_logs``."""
        after = 0
        with self.hub.listen(("logs", trial_id), ("trial", trial_id)) as news:
            while True:
                # Asked before reading: lines stored before a trial's end are then certain to be read.
                over = (await self.store.get_trial(trial_id)).state.is_terminal
                while lines := await self.store.read_logs(trial_id, where, after, LINES_AT_ONCE, descending=False):
                    yield lines
                    after = lines[-1].id
                if over or self.hub.closed:
                    return
                await news.wait()

    async def story(self, trial: Trial) -> list[str]:
        """See ``Service.story``."""
        history: list[Fact] = []
        after = 0
        while rows := await self.store.read_journal(trial.experiment_id, after, FACTS_AT_ONCE):
            # Off the loop: a long search has a long journal.
            history += await asyncio.to_thread(_told_by, rows, trial.id)
            after = rows[-1].seq
        return await asyncio.to_thread(story, history, trial.id)

    async def watch(self, experiment_id: ExperimentId, follow: bool) -> AsyncIterator[Mapping[str, Any]]:
        """See ``Service.watch``."""
        with self.hub.listen(("experiment", experiment_id)) as news:
            while True:
                summary = await self.summary(experiment_id)
                yield summary
                over = ExperimentState(summary["state"].removeprefix("STATE_")).is_terminal
                if over or not follow or self.hub.closed:
                    return
                # Nobody reads faster than this, and a busy search commits thousands of times a second.
                await asyncio.sleep(1 / MOST_SUMMARIES_A_SECOND)
                await news.wait()

    async def summary(self, experiment_id: ExperimentId) -> Mapping[str, Any]:
        """How a search is doing, in one object."""
        record = await self.store.get_experiment(experiment_id)
        lane = await self.commits.lane(experiment_id)
        best = None if record.best_trial_id is None else await self.store.get_trial(TrialId(record.best_trial_id))
        return {
            "id": record.id,
            "name": record.name,
            "state": f"STATE_{record.state.value}",
            "progress": record.progress,
            "searcherType": record.searcher_type,
            "metricName": record.metric,
            "smallerIsBetter": record.smaller_is_better,
            "trials": await self._counts(record, lane),
            "bestTrialId": record.best_trial_id,
            "bestMetric": record.best_metric,
            "bestHparams": None if best is None else msgspec.json.decode(best.hparams),
            "unitsDone": 0 if best is None else best.units,
            "waitingFor": "" if lane is None else self.waiting_for(lane),
            "message": record.message,
        }

    async def _counts(self, record: Experiment, lane: Lane | None) -> Mapping[str, int]:
        kinds = ("queued", "running", "idle", "completed", "errored", "canceled")
        if lane is not None:
            counts = {kind: lane.counts[kind] for kind in kinds}
        else:
            counts = dict.fromkeys(kinds, 0)
            for kind, states in _END_STATES.items():
                counts[kind] = (await self.store.list_trials(record.id, states, Order(), Page(limit=0))).total
        return {"total": record.num_trials, **counts}

    def waiting_for(self, lane: Lane) -> str:
        """Why nothing of an experiment runs although something should; "" when something does."""
        if lane.engine.state is ExperimentState.PAUSED:
            return "to be activated"
        if lane.counts["running"] or not lane.counts["queued"]:
            no_runner = lane.is_custom and not lane.polls and lane.queue and not lane.counts["running"]
            return "its search runner" if no_runner and lane.engine.state is ExperimentState.ACTIVE else ""
        for trial in lane.engine.trials.values():
            if trial.run is not None and trial.run.phase is RunPhase.QUEUED:
                return self.pool.explain(trial.id, trial.run.run_id)
        return ""


def _told_by(rows: Sequence[JournalRow], trial_id: TrialId) -> list[Fact]:
    """The facts that are about a trial, or about the search as a whole."""
    facts = [journal.from_row(row) for row in rows]
    return [fact for fact in facts if getattr(fact, "trial_id", trial_id) == trial_id]


_END_STATES = {
    "completed": (TrialState.COMPLETED,),
    "canceled": (TrialState.CANCELED,),
    "errored": (TrialState.ERROR,),
}
