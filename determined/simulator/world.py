"""The world of a simulation: a virtual clock, and what becomes of the things that the engine asks for."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from determined.domain import facts
from determined.domain.search_method import SearchMethod
from determined.domain.states import ExperimentState, TrialState
from determined.engine import effects as fx
from determined.engine.experiment import Settings
from determined.simulator import jobs
from determined.simulator.model import Capacity, CurveFunction, Limits, TrialModel
from determined.simulator.process import NEVER, Act, Process, read_checkpoint_id
from determined.simulator.result import Best
from determined.simulator.search import Observer, Search
from determined.simulator.workers import Workers


@dataclass(frozen=True)
class Plan:
    """Everything that a simulation is made of, beside the method."""

    settings: Settings
    curve: CurveFunction
    capacity: Capacity
    model: TrialModel
    limits: Limits
    seed: int
    smaller_is_better: bool
    max_slots: int | None = None
    observer: Observer | None = None
    keep_decisions: bool = True


class World:
    """A simulation at work.

    Attributes:
        search: engine and method; ``tell`` takes a fact there.
        processes: of every trial; that of trial 1 is the first.
        best: improvements so far.
        now: virtual time.
        ended: how it ended, "" while it goes on.
        units, reports: so far.
    """

    def __init__(self, method: SearchMethod, plan: Plan) -> None:
        self.plan = plan
        self.model = plan.model
        self.hazards = jobs.Hazards(plan.model, random.Random(plan.seed))
        self.workers = Workers(plan.capacity.most, plan.settings.slots_per_trial, plan.max_slots)
        self.search = Search(method, plan.settings, self._carriers(), plan.observer, plan.keep_decisions)
        self.tell = self.search.tell
        limits = plan.limits
        self._max_units, self._max_trials = _limit(limits.max_units), _limit(limits.max_trials)
        self._max_events = _limit(limits.max_events)
        self.processes: list[Process] = []
        self.best: list[Best] = []
        self.now = 0.0
        self.ended = ""
        self.units = 0.0
        self.reports = 0
        self._woken: list[Process] = []
        self._heap: list[tuple[float, int, Process | None]] = []
        self._entries = 0

    def run(self) -> None:
        """From the start of the search to its end."""
        for at, _ in self.plan.capacity.steps[1:]:
            self._entries += 1
            heapq.heappush(self._heap, (at, self._entries, None))
        self._set_capacity()
        self.tell(facts.ExperimentCreated(at=0.0, active=True))
        self._settle()
        self._check_limits()
        self._run_clock()
        self.ended = self.ended or "stalled"
        self.search.flush(self.now)
        # World and search hold each other; let go, so that all of it is freed as soon as nobody needs it.
        self.search.carriers = {}
        for trial_id in self.search.engine.trials:
            process = self.processes[trial_id - 1]
            process.end_work(self.now)
            process.outcome = "waiting" if process.started is None else "running"

    def schedule(self, process: Process, act: Act, at: float) -> None:
        """The next thing that happens to a process; what was to happen does not."""
        self._entries += 1
        process.act, process.due = act, self._entries
        heapq.heappush(self._heap, (at, self._entries, process))

    # The clock

    def _run_clock(self) -> None:
        """Take entries off the clock until the search ends or none is left.

        Nearly all entries are reports of progress, so this is laid out for them: what does not change is looked up
        once, and an entry takes the place of the one before it.
        """
        heap, replace, report, engine = self._heap, heapq.heapreplace, self.search.report, self.search.engine
        fact, a_report, trained_act, failure = facts.ProgressReported, Act.REPORT, Act.TRAINED, Act.FAIL
        every, max_units, max_events = self.model.report_every or math.inf, self._max_units, self._max_events
        max_time = _limit(self.plan.limits.max_time)
        while heap and not self.ended:
            at, number, process = heap[0]
            if process is not None and process.due != number:
                heapq.heappop(heap)
                continue
            if at > max_time:
                self.now, self.ended = max_time, "max_time"
                return
            self.now = at
            if process is None or process.act is not a_report:
                heapq.heappop(heap)
                self._take_entry(process)
                continue
            position = process.next_position
            trained = position - process.position
            process.position = position
            process.units += trained
            self.units += trained
            self.reports += 1
            report(fact(at=at, trial_id=process.trial_id, run_id=process.run_id, units=position))
            following = position + every
            if following >= process.order:
                following = process.order
                process.act = trained_act
            due = process.began + (following - process.base) * process.job_pace
            if due >= process.fails_at:
                due, process.act = process.fails_at, failure
            process.next_position = following
            self._entries += 1
            process.due = self._entries
            replace(heap, (due, self._entries, process))
            if self.units >= max_units or engine.last_event >= max_events:
                self._check_limits()

    def _take_entry(self, process: Process | None) -> None:
        """Do what an entry of the clock is for that is no report; those without a process change the capacity."""
        if process is None:
            self._set_capacity()
        else:
            process.due = 0
            jobs.ACTS[process.act](self, process)
        self._settle()
        self._check_limits()

    def _check_limits(self) -> None:
        if self.ended:
            return
        if self.units >= self._max_units:
            self.ended = "max_units"
        elif self.search.created > self._max_trials:
            self.ended = "max_trials"
        elif self.search.engine.last_event >= self._max_events:
            self.ended = "max_events"

    # Workers

    def _settle(self) -> None:
        """Hand out workers, and let idle processes go on that have been given work, until neither changes anything."""
        self._grant()
        while self._woken:
            woken, self._woken = self._woken, []
            for process in woken:
                if process.trial_id in self.workers.idle:
                    jobs.go_on(self, process)
            self._grant()

    def _grant(self) -> None:
        while self.workers.has_news and not self.ended:
            grants = self.workers.grant()
            for grant in grants:
                trial_id, run_id = grant.request.key
                slots = grant.slot_ids
                self.tell(
                    facts.SlotsGranted(at=self.now, trial_id=trial_id, run_id=run_id, slot_ids=slots, agent="simulated")
                )
                self._start(self.processes[trial_id - 1])
            if not grants and (process := self.workers.idle_one()) is not None:
                jobs.leave(self, process, 0)

    def _start(self, process: Process) -> None:
        if process.act is not Act.START or not process.due:
            # It was killed as soon as it was ordered.
            return
        process.due = 0
        if self.model.start_time:
            self.schedule(process, Act.START, self.now + self.model.start_time)
        else:
            jobs.start(self, process)

    def _set_capacity(self) -> None:
        """As many workers as there are now; processes that lose theirs are asked to save and exit."""
        workers = [number for at, number in self.plan.capacity.steps if at <= self.now][-1]
        for trial_id, run_id in self.workers.resize(workers):
            self.tell(facts.PreemptionRequested(at=self.now, trial_id=trial_id, run_id=run_id))

    # What the engine asks for. Nothing here tells the engine anything: it is in the middle of a fact.

    def _carriers(self) -> Mapping[type[Any], Callable[[Any], None]]:
        return {
            fx.TrialAdded: self._on_added,
            fx.TrialChanged: self._on_changed,
            fx.OperationChanged: self._on_operation_changed,
            fx.SlotsWanted: lambda e: self.workers.want(e.trial_id, e.run_id, e.slots),
            fx.SlotsWithdrawn: lambda e: self.workers.pool.withdraw(e.trial_id, e.run_id),
            fx.RunStart: self._on_start,
            fx.RunPreempt: lambda e: jobs.order_exit(self, self.processes[e.trial_id - 1], 0),
            fx.RunKill: lambda e: jobs.order_exit(self, self.processes[e.trial_id - 1], jobs.KILLED),
            fx.RunEnded: self._on_run_ended,
            fx.ExperimentEnded: self._on_experiment_ended,
        }

    def _on_added(self, effect: fx.TrialAdded) -> None:
        self.search.created += 1
        hparams = msgspec.json.decode(effect.hparams)
        pace = self.model.pace(hparams)
        process = Process(effect.trial_id, effect.request_id, hparams, self.now, pace=pace)
        if effect.warm_start is not None and (found := read_checkpoint_id(effect.warm_start)) is not None:
            # Its script finds the parent's count of steps in the checkpoint, and goes on from there.
            process.saved = found[1]
        self.processes.append(process)

    def _on_changed(self, effect: fx.TrialChanged) -> None:
        process = self.processes[effect.trial_id - 1]
        process.restarts = effect.restarts
        if effect.state in _OUTCOMES:
            process.ended = self.now
            process.outcome = process.outcome or _OUTCOMES[effect.state]

    def _on_operation_changed(self, effect: fx.OperationChanged) -> None:
        process = self.workers.idle.get(effect.trial_id)
        if process is not None:
            self._woken.append(process)

    def _on_start(self, effect: fx.RunStart) -> None:
        process = self.processes[effect.trial_id - 1]
        process.run_id = effect.run_id
        process.position = float(process.saved)
        process.begin_work(self.now)
        if process.started is None:
            process.started = self.now
        # It starts when the engine has said all that it has to say now.
        process.act, process.due = Act.START, ORDERED

    def _on_run_ended(self, effect: fx.RunEnded) -> None:
        process = self.processes[effect.trial_id - 1]
        process.end_work(self.now)
        process.due = 0
        # What it was about to do concerns nobody any more, and numbers take room.
        process.began = process.base = process.next_position = 0.0
        process.losses += effect.code is None
        self.workers.release(effect.trial_id, effect.run_id)

    def _on_experiment_ended(self, effect: fx.ExperimentEnded) -> None:
        self.ended = effect.state.value.lower()
        self.search.state.experiment_completed = effect.state is ExperimentState.COMPLETED


_OUTCOMES = {TrialState.COMPLETED: "completed", TrialState.CANCELED: "canceled", TrialState.ERROR: "errored"}


ORDERED = -1
"""Number of no entry of the clock, for a process that is about to have one."""


def _limit(value: float | None) -> float:
    return NEVER if value is None else value
