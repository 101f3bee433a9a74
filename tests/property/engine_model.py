"""A naive model of one experiment, written from the rules and not from the engine.

It keeps plain lists, looks at every trial each time, and applies what follows by itself until nothing changes.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from determined.domain import facts
from determined.domain.events import (
    ExitCause,
    InitialOperations,
    SearcherEvent,
    TrialClosed,
    TrialCreated,
    TrialExitedEarly,
    TrialProgress,
    ValidationCompleted,
)
from determined.domain.facts import DeadlineKind, Fact, Verb
from determined.domain.ids import ExperimentId
from determined.domain.operations import Create, Operation, Progress, Shutdown, ValidateAfter
from determined.engine.experiment import Settings
from determined.engine.trial import MAX_LOST_RUNS

SETTINGS = Settings(ExperimentId(1), max_restarts=1, slots_per_trial=2, warm_start="warm")
SEVERITY = {"ACTIVE": 0, "PAUSED": 0, "COMPLETED": 1, "CANCELED": 2, "KILLED": 3, "ERROR": 4}


class Refused(Exception):
    """The model would not take this."""


@dataclass
class Run:
    id: int
    phase: str = "QUEUED"
    asked: bool = False
    hurried: bool = False
    killed: bool = False
    acknowledged: bool = False
    invalid: bool = False


@dataclass
class ModelTrial:
    """``stop`` is how it is stopping, "" while it is not; ``end`` its terminal state, "" while it has none."""

    id: int
    name: uuid.UUID
    warm: str
    stop: str = ""
    end: str = ""
    length: int | None = None
    complete: bool = True
    closed: bool = False
    run: Run | None = None
    runs: int = 0
    restarts: int = 0
    lost: int = 0
    done: tuple[int, int, str] | None = None
    saved: list[tuple[int, int, str]] = field(default_factory=list)

    def newest(self) -> tuple[int, int, str]:
        """Steps, order, and uuid of what a run of it starts from."""
        return max(self.saved, default=(0, 0, self.warm))


class Model:
    """One experiment, obviously."""

    def __init__(self) -> None:
        self.state = "PAUSED"
        self.progress: float | None = None
        self.events: list[SearcherEvent] = []
        self.answered = 0
        self.all: list[ModelTrial] = []
        self.created = False
        self.started: list[tuple[int, int, str, int]] = []
        self.kills: list[tuple[int, int]] = []

    # Everything that follows without being asked for

    def rest(self) -> None:
        """Apply the rules until nothing changes."""
        for t in self.all:
            if t.end:
                continue
            if t.complete and t.closed and not t.stop:
                t.stop = "COMPLETED"
            if t.run and t.run.phase == "QUEUED" and (t.complete or t.stop or self.state != "ACTIVE"):
                t.run = None
            if t.stop and not t.run:
                self.end(t, {"KILLED": "CANCELED"}.get(t.stop, t.stop))
            elif not t.stop and self.state == "ACTIVE" and not t.complete and not t.run:
                t.run = Run(t.runs + 1)
        if self.state.startswith("STOPPING_") and all(t.end for t in self.all):
            how = self.state.removeprefix("STOPPING_")
            self.state = {"KILLED": "CANCELED"}.get(how, how)
            if self.state == "COMPLETED":
                self.progress = 1.0

    def end(self, t: ModelTrial, state: str, cause: ExitCause | None = None) -> None:
        t.end = state
        if cause is None:
            cause = {"ERROR": ExitCause.ERRORED, "CANCELED": ExitCause.KILLED}.get(state)
        if cause is not None:
            self.events.append(TrialExitedEarly(t.name, cause))
        self.events.append(TrialClosed(t.name))

    def stop_trial(self, t: ModelTrial, how: str) -> None:
        if SEVERITY[how] < SEVERITY[t.stop or "ACTIVE"]:
            return
        t.stop = how
        if t.run and t.run.phase != "QUEUED":
            if how in ("KILLED", "ERROR"):
                self.kill(t, t.run)
            elif how == "CANCELED":
                self.ask(t, t.run)

    def ask(self, t: ModelTrial, run: Run, hurried: bool = True) -> None:
        if run.phase == "STARTING":
            self.kill(t, run)
        else:
            run.asked = True
            run.hurried = run.hurried or hurried

    def kill(self, t: ModelTrial, run: Run) -> None:
        run.killed = True
        self.kills.append((t.id, run.id))

    def stop_all(self, how: str) -> None:
        self.state = f"STOPPING_{how}"
        for t in self.all:
            if not t.end:
                self.stop_trial(t, how)

    # Facts

    def take(self, fact: Fact) -> bool:
        """Take in a fact; False when it is to be refused."""
        self.kills = []
        self.started = []
        try:
            getattr(self, f"on_{type(fact).__name__}")(fact)
        except Refused:
            return False
        self.rest()
        return True

    def on_ExperimentCreated(self, fact: facts.ExperimentCreated) -> None:
        if self.created:
            raise Refused
        self.created = True
        self.state = "ACTIVE" if fact.active else "PAUSED"
        self.events.append(InitialOperations())

    def on_ExperimentCommanded(self, fact: facts.ExperimentCommanded) -> None:
        running = self.state in ("ACTIVE", "PAUSED")
        if fact.verb in (Verb.PAUSE, Verb.ACTIVATE):
            if not running:
                raise Refused
            wanted = "PAUSED" if fact.verb is Verb.PAUSE else "ACTIVE"
            if self.state == wanted:
                # It is so already; in particular nothing is killed twice.
                return
            self.state = wanted
            for t in self.all:
                if self.state == "PAUSED" and not t.end and not t.stop and t.run and t.run.phase != "QUEUED":
                    self.ask(t, t.run)
        elif fact.verb is Verb.CANCEL:
            if running:
                self.stop_all("CANCELED")
        elif self.state == "STOPPING_ERROR":
            self.stop_all("ERROR")
        elif running or self.state.startswith("STOPPING_"):
            self.stop_all("KILLED")

    def on_MethodFailed(self, fact: facts.MethodFailed) -> None:
        if self.state in ("ACTIVE", "PAUSED"):
            self.stop_all("ERROR")

    def on_TrialKillRequested(self, fact: facts.TrialKillRequested) -> None:
        for t in self.all:
            if t.id == fact.trial_id and not t.end:
                self.stop_trial(t, "ERROR" if t.stop == "ERROR" else "KILLED")

    def on_TrialCancelRequested(self, fact: facts.TrialCancelRequested) -> None:
        for t in self.all:
            if t.id == fact.trial_id and not t.end:
                self.stop_trial(t, "CANCELED")

    def on_OperationsPosted(self, fact: facts.OperationsPosted) -> None:
        if not (self.state in ("ACTIVE", "PAUSED") or self.state.startswith("STOPPING_")):
            return
        if fact.trigger is not None and not self.answered < fact.trigger <= len(self.events):
            raise Refused
        running = self.state in ("ACTIVE", "PAUSED")
        names = [op.request_id for op in fact.operations if isinstance(op, Create)]
        known = [t.name for t in self.all]
        if running and len(set(names + known)) < len(names + known):
            raise Refused
        sources = [op.source_trial for op in fact.operations if isinstance(op, Create) and op.source_trial is not None]
        if running and not set(sources) <= set(known):
            raise Refused
        if fact.trigger is not None:
            self.answered = fact.trigger
        if running:
            self.apply(fact)

    def apply(self, fact: facts.OperationsPosted) -> None:
        over: Shutdown | None = None
        next_id = int(fact.first_trial_id)
        for op in fact.operations:
            if isinstance(op, Progress):
                self.progress = min(1.0, max(0.0, op.progress))
            elif over is not None:
                pass
            elif isinstance(op, Shutdown):
                over = op
            elif isinstance(op, Create):
                parents = [t for t in self.all if t.name == op.source_trial]
                source = parents[0].newest()[2] if parents else op.checkpoint or "warm"
                self.all.append(ModelTrial(next_id, op.request_id, source))
                next_id += 1
            else:
                for t in self.all:
                    if t.name == op.request_id and not t.end and not t.stop:
                        self.order(t, op)
        # Trials that have nothing left end before the search does.
        self.rest()
        if over is not None:
            self.stop_all("ERROR" if over.failure else "CANCELED" if over.cancel else "COMPLETED")

    @staticmethod
    def order(t: ModelTrial, op: Operation) -> None:
        if isinstance(op, ValidateAfter):
            t.length, t.complete = op.length, False
        else:
            t.closed = True

    def current(self, fact: Any) -> tuple[ModelTrial, Run]:
        for t in self.all:
            if t.id == fact.trial_id and not t.end and t.run and t.run.id == fact.run_id and t.run.phase != "QUEUED":
                return t, t.run
        raise Refused

    def on_SlotsGranted(self, fact: facts.SlotsGranted) -> None:
        for t in self.all:
            if t.id == fact.trial_id and not t.end and t.run and t.run.id == fact.run_id and t.run.phase == "QUEUED":
                t.run.phase = "STARTING"
                t.runs = t.run.id
                if t.run.id == 1:
                    self.events.append(TrialCreated(t.name))
                steps, _, source = t.newest()
                self.started.append((t.id, t.run.id, source, steps))
                return
        raise Refused

    def on_RunSeen(self, fact: facts.RunSeen) -> None:
        t, run = self.current(fact)
        if run.phase == "STARTING":
            run.phase = "RUNNING"
            t.lost = 0

    def on_ProgressReported(self, fact: facts.ProgressReported) -> None:
        t, _ = self.current(fact)
        self.events.append(TrialProgress(t.name, fact.units))

    def on_OperationCompleted(self, fact: facts.OperationCompleted) -> None:
        t, run = self.current(fact)
        report = (run.id, fact.length, str(fact.metric))
        if not t.complete and t.length == fact.length:
            t.complete = True
            t.done = report
            self.events.append(ValidationCompleted(t.name, fact.metric, fact.length))
        elif t.done != report:
            raise Refused

    def on_EarlyExitReported(self, fact: facts.EarlyExitReported) -> None:
        self.current(fact)[1].invalid = True

    def on_ExitAcknowledged(self, fact: facts.ExitAcknowledged) -> None:
        self.current(fact)[1].acknowledged = True

    def on_PreemptionRequested(self, fact: facts.PreemptionRequested) -> None:
        self.ask(*self.current(fact), hurried=not fact.for_priority)

    def on_MetricsReported(self, fact: facts.MetricsReported) -> None:
        self.current(fact)

    def on_CheckpointReported(self, fact: facts.CheckpointReported) -> None:
        t, _ = self.current(fact)
        t.saved.append((fact.steps, len(t.saved), fact.uuid))

    def on_DeadlinePassed(self, fact: facts.DeadlinePassed) -> None:
        try:
            t, run = self.current(fact)
        except Refused:
            return
        if run.hurried if fact.kind is DeadlineKind.PREEMPTION else run.invalid:
            self.kill(t, run)

    def on_RunExited(self, fact: facts.RunExited) -> None:
        t, run = self.current(fact)
        t.run = None
        clean = run.killed or run.acknowledged
        hopeless = fact.code is None and run.phase == "STARTING" and t.lost + 1 >= MAX_LOST_RUNS
        failed = not clean and (hopeless or fact.code not in (None, 0))
        if t.stop:
            self.end(t, "ERROR" if failed else {"KILLED": "CANCELED"}.get(t.stop, t.stop))
        elif run.invalid:
            self.end(t, "COMPLETED", ExitCause.INVALID_HP)
        elif failed:
            t.restarts += 1
            if t.restarts > SETTINGS.max_restarts:
                self.end(t, "ERROR")
        elif clean:
            pass
        elif fact.code == 0:
            self.end(t, "COMPLETED", ExitCause.STOPPED_ITSELF)
        elif run.phase == "STARTING":
            t.lost += 1
