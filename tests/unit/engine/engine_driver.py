"""Drives an engine by short names: trials are letters, times count up, events are short texts."""

from __future__ import annotations

import uuid
from typing import Any

from determined.domain import facts
from determined.domain.events import (
    InitialOperations,
    SearcherEvent,
    TrialClosed,
    TrialCreated,
    TrialExitedEarly,
    TrialProgress,
    ValidationCompleted,
)
from determined.domain.facts import DeadlineKind, Fact, Verb
from determined.domain.ids import ExperimentId, RunId, TrialId
from determined.domain.operations import Close, Create, Operation, ValidateAfter
from determined.engine import effects as fx
from determined.engine.effects import Effect
from determined.engine.experiment import Experiment, Settings
from determined.engine.invariants import check
from determined.engine.trial import Trial


def rid(name: str) -> uuid.UUID:
    """The request id of a name."""
    return uuid.UUID(int=int.from_bytes(name.encode(), "big"))


def name_of(request_id: uuid.UUID) -> str:
    """The name of a request id."""
    return request_id.int.to_bytes(16, "big").lstrip(b"\0").decode()


def text_of(event: SearcherEvent) -> str:
    """An event in short."""
    if isinstance(event, InitialOperations):
        return "initial"
    name = name_of(event.request_id)
    if isinstance(event, TrialCreated):
        return f"created {name}"
    if isinstance(event, TrialProgress):
        return f"progress {name} {event.partial_units:g}"
    if isinstance(event, ValidationCompleted):
        return f"validated {name} {event.length} {event.metric}"
    if isinstance(event, TrialExitedEarly):
        return f"exited {name} {event.cause.value}"
    assert isinstance(event, TrialClosed)
    return f"closed {name}"


class Driver:
    """One engine, and everything that it has said.

    Attributes:
        events: all events in short, in order; ``new_events`` since it was last read.
        last: effects of the newest fact; ``rows``: newest row of each trial; ``history``: accepted facts.
    """

    def __init__(
        self, max_restarts: int = 5, slots: int = 1, warm_start: str | None = None, active: bool = True
    ) -> None:
        self.engine = Experiment(Settings(ExperimentId(1), max_restarts, slots, warm_start))
        self.events: list[str] = []
        self.last: list[Effect] = []
        self.rows: dict[int, fx.TrialChanged] = {}
        self.history: list[Fact] = []
        self.next_trial = 1
        self.at = 0.0
        self._read = 0
        self.tell(facts.ExperimentCreated(at=0.0, active=active))

    def tell(self, fact: Fact) -> list[Effect]:
        """Hand over a fact; what the engine says is kept and checked."""
        self.last = self.engine.handle(fact)
        self.history.append(fact)
        for effect in self.last:
            if isinstance(effect, fx.EventEnqueued):
                assert effect.event_id == len(self.events) + 1
                self.events.append(text_of(effect.event))
            elif isinstance(effect, fx.TrialAdded):
                self.next_trial = effect.trial_id + 1
            elif isinstance(effect, fx.TrialChanged):
                self.rows[effect.trial_id] = effect
        assert check(self.engine) == []
        return self.last

    def new_events(self) -> list[str]:
        """Events since the last call."""
        fresh, self._read = self.events[self._read :], len(self.events)
        return fresh

    def said(self, kind: type[Effect]) -> list[Any]:
        """The effects of this kind among the newest."""
        return [e for e in self.last if type(e) is kind]

    def _now(self) -> float:
        self.at += 1.0
        return self.at

    # The search

    def post(self, *operations: Operation, trigger: int | None = None) -> list[Effect]:
        """Post a batch of operations."""
        return self.tell(
            facts.OperationsPosted(
                at=self._now(), operations=operations, trigger=trigger, first_trial_id=TrialId(self.next_trial)
            )
        )

    def create(self, name: str, length: int | None = 100, close: bool = False) -> None:
        """A new trial, with an operation unless ``length`` is None."""
        operations: list[Operation] = [Create(rid(name), {"name": name})]
        if length is not None:
            operations.append(ValidateAfter(rid(name), length))
        if close:
            operations.append(Close(rid(name)))
        self.post(*operations)

    def work(self, name: str, length: int) -> None:
        """Another operation."""
        self.post(ValidateAfter(rid(name), length))

    def close(self, name: str) -> None:
        """No more work."""
        self.post(Close(rid(name)))

    # Users

    def command(self, verb: Verb) -> list[Effect]:
        """A user's wish."""
        return self.tell(facts.ExperimentCommanded(at=self._now(), verb=verb))

    def kill(self, name: str) -> list[Effect]:
        """A user ends a trial."""
        return self.tell(facts.TrialKillRequested(at=self._now(), trial_id=self.id_of(name)))

    def cancel(self, name: str) -> list[Effect]:
        """A user asks a trial to save and leave."""
        return self.tell(facts.TrialCancelRequested(at=self._now(), trial_id=self.id_of(name)))

    # Trials

    def id_of(self, name: str) -> TrialId:
        """The trial of this name."""
        return self.engine.index[rid(name)]

    def trial(self, name: str) -> Trial:
        """The live trial of this name."""
        return self.engine.trials[self.id_of(name)]

    def is_over(self, name: str) -> bool:
        """Whether the trial is over."""
        return self.id_of(name) not in self.engine.trials

    def state(self, name: str) -> str:
        """The state in the trial's newest row."""
        trial = self.engine.trials.get(self.id_of(name))
        return trial.state.value if trial is not None else self.rows[self.id_of(name)].state.value

    def _of(self, name: str, run: int | None) -> dict[str, Any]:
        if run is None:
            trial = self.trial(name)
            assert trial.run is not None
            run = trial.run.run_id
        return {"at": self._now(), "trial_id": self.id_of(name), "run_id": RunId(run)}

    def grant(self, name: str, run: int | None = None, slot_ids: tuple[int, ...] = (0,)) -> list[Effect]:
        return self.tell(facts.SlotsGranted(**self._of(name, run), slot_ids=slot_ids, agent="host"))

    def seen(self, name: str, run: int | None = None) -> list[Effect]:
        return self.tell(facts.RunSeen(**self._of(name, run)))

    def start(self, name: str) -> None:
        """Slots, and past the start line."""
        self.grant(name)
        self.seen(name)

    def begin(self, name: str, length: int | None = 100, close: bool = False) -> None:
        """Create a trial and start it."""
        self.create(name, length, close)
        self.start(name)

    def exit(self, name: str, code: int | None, reason: str = "", run: int | None = None) -> list[Effect]:
        return self.tell(facts.RunExited(**self._of(name, run), code=code, reason=reason))

    def progress(self, name: str, units: float, run: int | None = None, report: str = "") -> list[Effect]:
        return self.tell(facts.ProgressReported(**self._of(name, run), units=units, report=report))

    def complete(self, name: str, length: int = 100, metric: Any = 0.5, run: int | None = None) -> list[Effect]:
        return self.tell(facts.OperationCompleted(**self._of(name, run), length=length, metric=metric))

    def invalid_hp(self, name: str, run: int | None = None) -> list[Effect]:
        return self.tell(facts.EarlyExitReported(**self._of(name, run)))

    def acknowledge(self, name: str, run: int | None = None) -> list[Effect]:
        return self.tell(facts.ExitAcknowledged(**self._of(name, run)))

    def preempt(self, name: str, run: int | None = None, for_priority: bool = False) -> list[Effect]:
        return self.tell(facts.PreemptionRequested(**self._of(name, run), for_priority=for_priority))

    def metrics(self, name: str, steps: int, run: int | None = None) -> list[Effect]:
        return self.tell(facts.MetricsReported(**self._of(name, run), group="training", steps=steps))

    def checkpoint(self, name: str, uuid_: str, steps: int, run: int | None = None) -> list[Effect]:
        return self.tell(facts.CheckpointReported(**self._of(name, run), uuid=uuid_, steps=steps))

    def deadline(self, name: str, kind: DeadlineKind, run: int | None = None) -> list[Effect]:
        return self.tell(facts.DeadlinePassed(**self._of(name, run), kind=kind))

    def finish(self, name: str) -> None:
        """The process takes the answer that there is no work, says so, and exits."""
        self.acknowledge(name)
        self.exit(name, 0)


def searching(names: str = "a", **settings: Any) -> Driver:
    """An engine with these trials running on 100 units each; their events are read."""
    driver = Driver(**settings)
    for name in names:
        driver.begin(name)
    driver.new_events()
    return driver
