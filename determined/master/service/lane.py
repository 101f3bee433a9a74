"""One unfinished experiment in memory: its engine, its place in the journal, and its queue of committed events."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field

import msgspec

from determined.domain.config import ExperimentConfig
from determined.domain.ids import ExperimentId, RunId, TrialId
from determined.domain.records import Experiment, Run, Trial
from determined.domain.states import RunPhase, TrialState
from determined.engine import effects as fx
from determined.engine.experiment import Experiment as Engine
from determined.master.service.ports import RunKey

NEW_TRIALS = 256
"""Rows of trials that have not been started yet which are kept in memory."""


@dataclass(slots=True)
class Lane:
    """What is kept of an experiment while it is not over.

    Attributes:
        record: the row as it was loaded or last patched; state and progress are in the engine.
        seq: newest sequence number given to a fact; ``published``: newest one that is durable; ``unsaved``: facts since
            the last snapshot.
        queue: committed, unanswered events as wire JSON, by id.
        answered: newest event whose answer is committed; ``answered_at`` (loop time) is when.
        polls: search runners that hang in a poll now; ``polled_at`` (loop time) is when one last did.
        epoch: newest search runner that attached; ``runner`` is what it calls itself, "" if nothing or if a master that
            is no more has heard it.
        runs: live runs by trial.
        counts: trials by what they do (queued, running, idle) or how they ended (completed, errored, canceled).
        broken: a write failed; what the engine holds is ahead of the store and must not be used any more.
    """

    record: Experiment
    config: ExperimentConfig
    engine: Engine
    seq: int
    queue: deque[tuple[int, msgspec.Raw]] = field(default_factory=deque)
    unsaved: int = 0
    published: int = 0
    answered: int = 0
    answered_at: float = 0.0
    polls: int = 0
    polled_at: float = float("-inf")
    epoch: int = 0
    runner: str = ""
    runs: dict[TrialId, Run] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    broken: bool = False
    tail: asyncio.Future[None] | None = None
    """Resolves with the newest unit of this lane."""
    _kinds: dict[TrialId, str] = field(default_factory=dict)
    _new_trials: dict[TrialId, Trial] = field(default_factory=dict)

    @property
    def id(self) -> ExperimentId:
        """The experiment."""
        return self.record.id

    @property
    def is_custom(self) -> bool:
        """Whether a search runner decides, not a method in the master."""
        return self.record.searcher_type == "custom"

    def acknowledge(self, event_id: int) -> None:
        """A committed answer takes its events off the queue."""
        self.answered = event_id
        while self.queue and self.queue[0][0] <= event_id:
            self.queue.popleft()

    def run_key(self, trial_id: TrialId) -> RunKey | None:
        """The live run of a trial."""
        run = self.runs.get(trial_id)
        return None if run is None else RunKey(self.id, trial_id, run.run_id, run.allocation_id)

    def remember_new_trial(self, trial: Trial) -> None:
        """Keep the row of a new trial for its first start, which is near as a rule; only the newest are kept."""
        self._new_trials[trial.id] = trial
        if len(self._new_trials) > NEW_TRIALS:
            del self._new_trials[next(iter(self._new_trials))]

    def take_new_trial(self, trial_id: TrialId) -> Trial | None:
        """The row of a trial as it was made, once; None for one that has to be read."""
        return self._new_trials.pop(trial_id, None)

    def count(self, trial_id: TrialId, kind: str, is_over: bool = False) -> None:
        """Keep the counts in step with one trial."""
        before = self._kinds.pop(trial_id, None)
        if before is not None:
            self.counts[before] -= 1
        self.counts[kind] += 1
        if not is_over:
            self._kinds[trial_id] = kind

    def count_change(self, change: fx.TrialChanged) -> None:
        """Keep the counts in step with a committed change."""
        self.count(change.trial_id, kind_of(change.state, change.phase), change.state.is_terminal)


_END_KINDS = {TrialState.COMPLETED: "completed", TrialState.CANCELED: "canceled", TrialState.ERROR: "errored"}


def kind_of(state: TrialState, phase: RunPhase | None) -> str:
    """What people want to know of a trial in one word."""
    if state in _END_KINDS:
        return _END_KINDS[state]
    if phase is None:
        return "idle"
    return "queued" if phase is RunPhase.QUEUED else "running"


def run_of(lane: Lane, trial_id: TrialId, run_id: RunId) -> Run | None:
    """The record of a live run, if it is this one."""
    run = lane.runs.get(trial_id)
    return run if run is not None and run.run_id == run_id else None
