"""Drives a method with several trials at work: which of them is next, and how it ends, follows from a seed."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

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
from determined.domain.operations import Close, Create, Operation, Progress, Shutdown, ValidateAfter
from determined.domain.search_method import SearcherState, SearchMethod, dispatch
from determined.methods.ending import ending

Metric = Callable[[int, Mapping[str, Any], int], Any]
"""From the trial's number (from 0), its hyperparameters and its length."""
Exit = Callable[[int, int], ExitCause | None]
"""How the trial of this number ends instead of reaching this length; None: it reaches it."""


@dataclass
class Job:
    """A trial as its training sees it."""

    number: int
    request_id: uuid.UUID
    hparams: Mapping[str, Any]
    source: uuid.UUID | None = None
    work: int | None = None
    started: bool = False
    closed: bool = False
    over: bool = False


class BusySearch:
    """Every trial with work is at work; without a seed the one that got its work first is the next to report.

    Args:
        exits: how trials end instead of reaching a length.
        idle_exits: how likely, after each step, a trial without work ends, from one of ``idle_causes``.
        reloading: save the method and make it anew after each event.

    Attributes:
        jobs: of all trials, by request id, in order.
        told: the events and the operations that came in answer, progress left out.
        progress: each value that the method gave.
        reached: how many trials have reported each length.
        invalid: how many trials had invalid hyperparameters.
    """

    def __init__(
        self,
        make: Callable[[], SearchMethod],
        metric: Metric = lambda number, hparams, length: 0.5,
        exits: Exit = lambda number, length: None,
        seed: int | None = None,
        reloading: bool = False,
        idle_exits: float = 0.0,
        idle_causes: tuple[ExitCause, ...] = tuple(ExitCause),
    ) -> None:
        self.make = make
        self.method = ending(make())
        self.metric = metric
        self.exits = exits
        self.rng = None if seed is None else random.Random(seed)
        self.reloading = reloading
        self.idle_exits = idle_exits
        self.idle_causes = idle_causes
        self.state = SearcherState()
        self.jobs: dict[uuid.UUID, Job] = {}
        self.working: dict[uuid.UUID, None] = {}
        self.told: list[tuple[SearcherEvent, list[Operation]]] = []
        self.progress: list[float] = []
        self.reached: dict[int, int] = {}
        self.most = 0
        self.invalid = 0
        self.shutdown: Shutdown | None = None

    @property
    def inner(self) -> Any:
        """The method without what ends the search."""
        return getattr(self.method, "method", self.method)

    def run(self, most_events: int = 1_000_000) -> BusySearch:
        """To the shutdown; a search that never ends, or whose trials all wait, fails."""
        self._tell(InitialOperations())
        while self.working:
            self._step(self.jobs[self._next()])
            assert len(self.told) < most_events
        assert self.shutdown is not None, "every trial waits and the search goes on"
        assert all(job.over for job in self.jobs.values())
        return self

    def created(self) -> int:
        return len(self.jobs)

    def answers(self, request_id: uuid.UUID | None = None) -> list[Operation]:
        """Every operation, or those for one trial."""
        every = [op for _, answer in self.told for op in answer]
        return [op for op in every if request_id is None or getattr(op, "request_id", None) == request_id]

    def _next(self) -> uuid.UUID:
        return next(iter(self.working)) if self.rng is None else self.rng.choice(list(self.working))

    def _step(self, job: Job) -> None:
        assert job.work is not None
        length, rid = job.work, job.request_id
        if not job.started:
            job.started = True
            self._tell(TrialCreated(rid))
        cause = self.exits(job.number, length)
        self._tell(TrialProgress(rid, length / 2 if cause else float(length)))
        if cause is not None:
            self._leave(job, cause)
        else:
            del self.working[rid]
            job.work = None
            self.reached[length] = self.reached.get(length, 0) + 1
            self._tell(ValidationCompleted(rid, self.metric(job.number, job.hparams, length), length))
            self._finish_closed()
        if self.rng is not None and self.rng.random() < self.idle_exits:
            self._lose_an_idle_trial(self.rng)

    def _lose_an_idle_trial(self, rng: random.Random) -> None:
        idle = [job for job in self.jobs.values() if job.started and job.work is None and not job.over]
        if idle:
            self._leave(rng.choice(idle), rng.choice(self.idle_causes))

    def _leave(self, job: Job, cause: ExitCause) -> None:
        self.working.pop(job.request_id, None)
        job.work = None
        self.invalid += cause is ExitCause.INVALID_HP
        job.over = True
        self._tell(TrialExitedEarly(job.request_id, cause))
        self._tell(TrialClosed(job.request_id))
        self._finish_closed()

    def _finish_closed(self) -> None:
        for job in [job for job in self.jobs.values() if job.closed and job.work is None and not job.over]:
            if not job.started:
                job.started = True
            job.over = True
            self._tell(TrialClosed(job.request_id))

    def _tell(self, event: SearcherEvent) -> None:
        assert self.shutdown is None, f"{event} after the shutdown"
        operations = dispatch(self.method, self.state, event)
        if self.reloading:
            saved = json.loads(json.dumps(self.method.snapshot(), allow_nan=False))
            self.method = ending(self.make())
            self.method.restore(saved)
        kept: list[Operation] = []
        for op in operations:
            if isinstance(op, Progress):
                self.progress.append(op.progress)
            else:
                kept.append(op)
        self.told.append((event, kept))
        for op in kept:
            self._apply(op)
        self.most = max(self.most, len(self.working))

    def _apply(self, op: Operation) -> None:
        if isinstance(op, Shutdown):
            self.shutdown = op
        elif isinstance(op, Create):
            assert op.request_id not in self.jobs
            self.jobs[op.request_id] = Job(len(self.jobs), op.request_id, json.loads(op.hparams))
        else:
            assert isinstance(op, (ValidateAfter, Close))
            job = self.jobs[op.request_id]
            if isinstance(op, ValidateAfter):
                assert not job.closed, "work for a trial that was closed"
                assert not job.over, "work for a trial that is over"
                assert job.work is None, "work for a trial that has work"
                job.work = op.length
                self.working[op.request_id] = None
            else:
                assert not job.closed, "closed twice"
                job.closed = True
