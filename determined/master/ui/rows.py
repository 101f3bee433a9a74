"""Experiments as rows of a list. Counting trials costs a scan of them, so counts are kept, and not made too often."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from determined.domain.ids import ExperimentId, UserId
from determined.domain.records import Experiment
from determined.domain.states import ExperimentState, RunPhase, TrialState
from determined.errors import NotFound
from determined.master.service.commit import Commits
from determined.master.service.lane import Lane
from determined.master.ui.lengths import Shape, shape_of
from determined.storage.protocol import Store, Tally, TallyQuery
from determined.wire.ui import UiExperiment, UiTrials

MAX_KEPT: Final = 5_000
SHARE: Final = 0.02
"""Of the time that may go into counting the trials of a search that goes on."""
SOONEST_S: Final = 1.0
EMPTY: Final = Tally({}, 0.0, 0, ())


@dataclass(frozen=True, slots=True)
class _Kept:
    version: tuple[object, ...]
    tally: Tally
    good_until: float


class Rows:
    """Makes rows.

    Args:
        now: a clock that never goes back, in seconds.

    Attributes:
        on_due: is told when the trials of an experiment may be counted anew whose last row had an older count.
    """

    def __init__(self, commits: Commits, store: Store, now: Callable[[], float] = time.monotonic) -> None:
        self._commits = commits
        self._store = store
        self._now = now
        self._tallies: OrderedDict[ExperimentId, _Kept] = OrderedDict()
        self._shapes: OrderedDict[tuple[int, str], Shape] = OrderedDict()
        self.on_due: Callable[[ExperimentId], None] = lambda experiment_id: None
        self._alarms: dict[ExperimentId, asyncio.TimerHandle] = {}

    def close(self) -> None:
        """Tell nobody any more."""
        for alarm in self._alarms.values():
            alarm.cancel()
        self._alarms.clear()

    async def of(self, experiments: Sequence[Experiment]) -> list[UiExperiment]:
        """The rows of some experiments."""
        names = {owner: await self._name(owner) for owner in {e.owner_id for e in experiments}}
        tallies = await self._counted(experiments)
        return [self._row(e, tallies[e.id], names[e.owner_id]) for e in experiments]

    def shape(self, experiment: Experiment) -> Shape:
        """What its configuration says about its size."""
        key = (experiment.id, experiment.config)
        if key not in self._shapes:
            self._shapes[key] = shape_of(experiment)
            while len(self._shapes) > MAX_KEPT:
                self._shapes.popitem(last=False)
        return self._shapes[key]

    async def longest(self, experiment: Experiment) -> float:
        """What trials train to that are not stopped before; where the configuration does not say, the longest tells."""
        shape = self.shape(experiment)
        return (await self._counted([experiment]))[experiment.id].longest if shape.longest is None else shape.longest

    async def _name(self, owner: UserId) -> str:
        try:
            return (await self._store.get_user(owner)).username
        except NotFound:
            return ""

    async def _counted(self, experiments: Sequence[Experiment]) -> dict[ExperimentId, Tally]:
        """The tally of each, counted anew where that is due."""
        due = [e for e in experiments if not self._is_good(e)]
        if due:
            # Read before the count: what changes while it is made may not be in it.
            versions = {e.id: self._version(e) for e in due}
            queries = [TallyQuery(e.id, e.smaller_is_better, self.shape(e).longest) for e in due if e.num_trials]
            began = self._now()
            found = dict(zip((q.experiment_id for q in queries), await self._store.tallies(queries), strict=True))
            now = self._now()
            # Each counts for its share of what all of them took, by the number of its trials.
            total = sum(e.num_trials for e in due) or 1
            for e in due:
                took = (now - began) * e.num_trials / total
                self._keep(e, versions[e.id], found.get(e.id, EMPTY), now + max(SOONEST_S, took / SHARE))
        for e in experiments:
            self._promise(e)
        return {e.id: self._tallies[e.id].tally for e in experiments}

    def _is_good(self, e: Experiment) -> bool:
        kept = self._tallies.get(e.id)
        if kept is None:
            return False
        self._tallies.move_to_end(e.id)
        if kept.version == self._version(e):
            return True
        return not e.state.is_terminal and self._now() < kept.good_until

    def _promise(self, e: Experiment) -> None:
        """See to it that a row with an older count is followed by a better one, although nothing else changes."""
        kept = self._tallies[e.id]
        if kept.version != self._version(e) and e.id not in self._alarms:
            wait = max(kept.good_until - self._now(), 0)
            self._alarms[e.id] = asyncio.get_running_loop().call_later(wait, self._fall_due, e.id)

    def _fall_due(self, experiment_id: ExperimentId) -> None:
        del self._alarms[experiment_id]
        self.on_due(experiment_id)

    def _version(self, e: Experiment) -> tuple[object, ...]:
        """What does not change any more once the experiment is over."""
        lane = self._commits.lanes.get(e.id)
        return (e.state, e.num_trials, e.ended_at, e.best_metric, None if lane is None else lane.published)

    def _keep(self, e: Experiment, version: tuple[object, ...], tally: Tally, good_until: float) -> None:
        self._tallies[e.id] = _Kept(version, tally, good_until)
        while len(self._tallies) > MAX_KEPT:
            self._tallies.popitem(last=False)

    def _row(self, e: Experiment, tally: Tally, owner: str) -> UiExperiment:
        lane = self._commits.lanes.get(e.id)
        return UiExperiment(
            id=e.id,
            name=e.name,
            state=shown_state(e, lane),
            progress=e.progress,
            trials=_trials(e, tally, lane),
            planned=self.shape(e).planned,
            searcher=e.searcher_type,
            metric=e.metric,
            smaller_is_better=e.smaller_is_better,
            best=e.best_metric,
            best_trial=e.best_trial_id,
            spark=_best_so_far(tally.best, e.smaller_is_better),
            slots=0 if lane is None else sum(len(run.slot_ids) for run in lane.runs.values()),
            user=owner,
            started_at=e.created_at,
            ended_at=e.ended_at,
            archived=e.archived,
            labels=e.labels,
            description=e.description,
        )


def shown_state(e: Experiment, lane: Lane | None) -> str:
    """The state for people: an active experiment that holds no slots yet is queued, if it wants some."""
    if e.state is ExperimentState.ACTIVE and lane is not None and lane.counts["queued"] and not lane.counts["running"]:
        return RunPhase.QUEUED.value
    return e.state.value


def _trials(e: Experiment, tally: Tally, lane: Lane | None) -> UiTrials:
    states = tally.states
    completed = states.get(TrialState.COMPLETED.value, 0)
    errored, canceled = states.get(TrialState.ERROR.value, 0), states.get(TrialState.CANCELED.value, 0)
    if lane is not None:
        # Those that are over now are known to the unit; only how many were stopped short is a little behind.
        completed = max(lane.counts["completed"], completed)
        errored, canceled = lane.counts["errored"], lane.counts["canceled"]
    return UiTrials(
        total=e.num_trials,
        running=0 if lane is None else lane.counts["running"],
        completed=max(completed - tally.short, 0),
        stopped=tally.short,
        errored=errored,
        canceled=canceled,
    )


def _best_so_far(best: Iterable[float], smaller_is_better: bool) -> list[float]:
    return list(accumulate(best, min if smaller_is_better else max))
