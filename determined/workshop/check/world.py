"""One experiment in small: the real engine and the real slots, with trials that do what they are told to."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from determined.domain import facts
from determined.domain.events import SearcherEvent
from determined.domain.facts import Verb
from determined.domain.ids import ExperimentId, RunId, TrialId
from determined.domain.operations import Operation
from determined.domain.states import ExperimentState
from determined.engine import effects as fx
from determined.engine.effects import Effect
from determined.engine.experiment import Experiment, Settings
from determined.engine.slots import DEFAULT_PRIORITY, Request, SlotPool
from determined.engine.trial import Trial
from determined.workshop.check.answers import letter

EXPERIMENT = ExperimentId(1)
MAX_WORKERS = 64
_KILLED = 137


class World:
    """The other side of a search method.

    Attributes:
        queue: events that the method has not answered yet, with their ids.
        live: trials that have a process, with its run; in the order in which they got it.
        workers: how many trials may have a process at once.
    """

    def __init__(self, workers: int, max_restarts: int) -> None:
        self.engine = Experiment(Settings(EXPERIMENT, max_restarts=max_restarts))
        self.pool = SlotPool(range(MAX_WORKERS))
        self.queue: deque[tuple[int, SearcherEvent]] = deque()
        self.live: dict[str, RunId] = {}
        self.workers = workers
        self._asked: set[str] = set()
        self._reached: dict[str, float] = {}
        self._completed: dict[str, int] = {}
        self._reported: dict[str, tuple[RunId, int, Any]] = {}
        self._clock = itertools.count()
        self._pending: deque[facts.Fact] = deque()
        self.pool.set_limit(EXPERIMENT, workers)
        self._handle(facts.ExperimentCreated(at=self._now(), active=True))

    # What can be asked

    @property
    def is_active(self) -> bool:
        """Trials may run."""
        return self.engine.state is ExperimentState.ACTIVE

    @property
    def is_paused(self) -> bool:
        """A user has paused it."""
        return self.engine.state is ExperimentState.PAUSED

    @property
    def is_running(self) -> bool:
        """Nobody has ended the search."""
        return self.engine.state.is_running

    @property
    def is_over(self) -> bool:
        """Nothing more can happen."""
        return self.engine.state.is_terminal

    def trial(self, name: str) -> Trial:
        """What the engine knows of a trial that is not over."""
        return self.engine.trials[_number(name)]

    def open_trials(self) -> list[str]:
        """Names of the trials that are not over."""
        return [letter(trial_id - 1) for trial_id in self.engine.trials]

    def has_work(self, name: str) -> bool:
        """A process trains for an operation that it has not completed."""
        return name in self.live and not self.trial(name).complete

    def is_asked(self, name: str) -> bool:
        """A process was asked to save and exit."""
        return name in self._asked

    def is_closed(self, name: str) -> bool:
        """The method has closed it."""
        return self.trial(name).closed

    def may_leave(self, name: str) -> bool:
        """A process has nothing to do, or was asked to go."""
        return name in self._asked or self.trial(name).complete

    def may_repeat(self, name: str) -> bool:
        """A network may deliver the last completion of the process once more, also when the next operation is there."""
        run, length, _ = self._reported.get(name, (None, 0, None))
        if self.live.get(name) != run:
            return False
        trial = self.trial(name)
        # With the same length asked for again, nobody could tell an old report from a new one.
        return trial.complete or trial.length != length

    # What happens

    def post(self, operations: Sequence[Operation], trigger: int) -> None:
        """The method's answer arrives."""
        first = TrialId(len(self.engine.index) + 1)
        self._handle(
            facts.OperationsPosted(at=self._now(), operations=tuple(operations), trigger=trigger, first_trial_id=first)
        )

    def command(self, verb: Verb) -> None:
        """A user speaks."""
        self._handle(facts.ExperimentCommanded(at=self._now(), verb=verb))

    def kill(self, name: str) -> None:
        """A user ends a trial."""
        self._handle(facts.TrialKillRequested(at=self._now(), trial_id=_number(name)))

    def set_workers(self, workers: int) -> None:
        """Capacity changes; processes that run go on."""
        self.workers = workers
        self.pool.set_limit(EXPERIMENT, workers)
        self._settle()

    def progress(self, name: str, share: float) -> float:
        """A trial reports this share of what its operation asks for; the units that it has reached."""
        run, length = self.live[name], self.trial(name).length or 0
        # A run that was started again begins at a checkpoint, which may lie far back.
        done = 0 if run > 1 else self._completed.get(name, 0)
        units = done + share * (length - done)
        if run == 1:
            units = max(units, self._reached.get(name, 0.0))
        self._reached[name] = units
        self._tell(facts.ProgressReported, name, units=units)
        return units

    def validate(self, name: str, metric: Any) -> int:
        """A trial completes its operation; the length of that."""
        length = self.trial(name).length or 0
        self._completed[name] = length
        self._reported[name] = (self.live[name], length, metric)
        self._tell(facts.OperationCompleted, name, length=length, metric=metric)
        return length

    def repeat(self, name: str) -> None:
        """The report of a trial's last completion arrives once more, as it was sent."""
        _, length, metric = self._reported[name]
        self._tell(facts.OperationCompleted, name, length=length, metric=metric)

    def exit(self, name: str, code: int, *, acknowledged: bool = False, invalid: bool = False) -> None:
        """A process ends."""
        if acknowledged:
            self._tell(facts.ExitAcknowledged, name)
        if invalid:
            self._tell(facts.EarlyExitReported, name)
        self._tell(facts.RunExited, name, code=code)

    def _tell(self, fact: Callable[..., facts.Fact], name: str, **more: Any) -> None:
        self._handle(fact(at=self._now(), trial_id=_number(name), run_id=self.live[name], **more))

    def _now(self) -> float:
        return float(next(self._clock))

    def _handle(self, fact: facts.Fact) -> None:
        self._pending.append(fact)
        self._settle()

    def _settle(self) -> None:
        """Carry out what the engine wants, until it wants nothing more."""
        while True:
            while self._pending:
                for effect in self.engine.handle(self._pending.popleft()):
                    self._carry_out(effect)
            for grant in self.pool.grant():
                trial_id, run_id = grant.request.key
                self._pending.append(
                    facts.SlotsGranted(
                        at=self._now(), trial_id=trial_id, run_id=run_id, slot_ids=grant.slot_ids, agent="check"
                    )
                )
                self._pending.append(facts.RunSeen(at=self._now(), trial_id=trial_id, run_id=run_id))
            if not self._pending:
                return

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, fx.EventEnqueued):
            self.queue.append((effect.event_id, effect.event))
        elif isinstance(effect, fx.SlotsWanted):
            self.pool.want(Request(DEFAULT_PRIORITY, EXPERIMENT, effect.trial_id, effect.run_id, effect.slots))
        elif isinstance(effect, fx.SlotsWithdrawn):
            self.pool.withdraw(effect.trial_id, effect.run_id)
        elif isinstance(effect, fx.RunStart):
            self.live[letter(effect.trial_id - 1)] = effect.run_id
        elif isinstance(effect, fx.RunPreempt):
            self._asked.add(letter(effect.trial_id - 1))
        elif isinstance(effect, fx.RunKill):
            self._pending.append(
                facts.RunExited(at=self._now(), trial_id=effect.trial_id, run_id=effect.run_id, code=_KILLED)
            )
        elif isinstance(effect, fx.RunEnded):
            self.pool.release(effect.trial_id, effect.run_id)
            name = letter(effect.trial_id - 1)
            del self.live[name]
            self._asked.discard(name)


def _number(name: str) -> TrialId:
    number = 0
    for char in name:
        number = number * 26 + ord(char) - ord("a") + 1
    return TrialId(number)
