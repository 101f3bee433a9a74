"""A recorded search: everything that happened in an experiment, for running it again with other eyes.

A recording comes out of a master or out of a file. Its facts go through the real engine, so what a search method sees
when it is replayed is what it saw then.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from determined.common.api.session import Session
from determined.domain.config import ConfigDefaults, ExperimentConfig, parse_config
from determined.domain.events import SearcherEvent
from determined.domain.facts import (
    CheckpointReported,
    ExperimentCommanded,
    Fact,
    OperationCompleted,
    OperationsPosted,
    Verb,
)
from determined.domain.ids import RequestId, TrialId
from determined.domain.operations import Operation, Shutdown
from determined.domain.records import JournalRow
from determined.domain.states import TrialState
from determined.engine import effects as fx
from determined.engine.effects import Effect
from determined.engine.experiment import Experiment, Settings
from determined.errors import CorruptState, DeterminedError
from determined.simulator.curves import Curve
from determined.wire import journal
from determined.workshop import recording_file as file
from determined.workshop import recording_master as master
from determined.workshop.recording_file import Header, Line, Report

_STORAGE = {"type": "shared_fs", "host_path": "/"}


@dataclass(frozen=True, slots=True)
class Answered:
    """Events that a search method was told, and its answer to all of them together.

    Attributes:
        seq: of the fact that holds the answer.
        at: when it came, in seconds since the epoch.
        events: with their ids, in order; none for operations that no event caused.
    """

    seq: int
    at: float
    events: tuple[tuple[int, SearcherEvent], ...]
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Validation:
    """A completed operation: trained to ``length``, ``metric`` is what the trial said; ``at`` in seconds."""

    at: float
    length: int
    metric: Any


@dataclass
class RecordedTrial:
    """One trial of a recording.

    Attributes:
        source: uuid of the checkpoint that it was created from, None for none.
        created_at, ended_at: seconds since the epoch.
        state: the last one that is recorded.
        checkpoints: (steps, uuid) in the order of their reports.
        reports: in the order of their groups and times.
    """

    id: TrialId
    request_id: RequestId
    hparams: Mapping[str, Any]
    source: str | None
    created_at: float
    state: TrialState
    ended_at: float | None = None
    validations: list[Validation] = field(default_factory=list)
    checkpoints: list[tuple[int, str]] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)


class Recording:
    """One recorded experiment.

    Attributes:
        header: what it is of.
        rows: its facts, in order, as the journal holds them.
        reports: what its trials reported.
    """

    def __init__(self, header: Header, lines: Sequence[Line]) -> None:
        """Raises: CorruptState: facts are missing, or there are none."""
        self.header = header
        self.rows = [line for line in lines if isinstance(line, JournalRow)]
        self.reports = [line for line in lines if isinstance(line, Report)]
        for number, row in enumerate(self.rows, 1):
            if row.seq != number:
                raise CorruptState(f"fact {number} of {self.name} is missing: fact {row.seq} comes in its place")
        if not self.rows:
            raise CorruptState(f"there are no facts of {self.name}; record it again")

    @classmethod
    def read(cls, path: Path) -> Recording:
        """From a file.

        Raises:
            InvalidInput: there is no such file, or it is no recording.
            CorruptState: it is damaged, cut off, or of a newer format.
        """
        return cls(*file.read(path))

    @classmethod
    def fetch(cls, session: Session, experiment_id: int) -> Recording:
        """From a master; of an experiment that goes on, what there is so far.

        Raises:
            NotFoundException: the master has no such experiment.
        """
        return cls(master.header_of(session, experiment_id), list(master.lines_of(session, experiment_id)))

    def save(self, path: Path) -> None:
        """Write it to a file."""
        file.write(path, self.header, [*self.rows, *self.reports])

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return f"the recorded experiment {self.header.experiment_id}"

    @cached_property
    def config(self) -> ExperimentConfig:
        """The configuration.

        Raises:
            InvalidConfig: this version cannot read it.
        """
        # Where checkpoints are has no part in a search, and its keys are not recorded.
        config = {**self.header.config, "checkpoint_storage": _STORAGE}
        return parse_config(config, ConfigDefaults(checkpoint_storage=_STORAGE, name=self.header.name, seed=0))

    @property
    def is_custom(self) -> bool:
        """A search runner decided, not a method in the master."""
        return self.config.searcher.name == "custom"

    def steps(self) -> Iterator[tuple[JournalRow, Fact, list[Effect]]]:
        """Each fact, and what the engine made of it. Cost: about 20 microseconds a fact.

        Raises:
            CorruptState: a fact is damaged or is refused, or comes from a newer version.
        """
        config = self.config
        settings = Settings(
            self.header.experiment_id,
            max_restarts=config.max_restarts,
            slots_per_trial=config.resources.slots_per_trial,
            warm_start=config.searcher.source_checkpoint_uuid,
        )
        engine = Experiment(settings)
        for row in self.rows:
            fact = journal.from_row(row)
            try:
                effects = engine.handle(fact)
            except DeterminedError as e:
                raise CorruptState(
                    f"fact {row.seq} of {self.name} ({row.kind}) was accepted once and is refused now: {e}"
                ) from e
            yield row, fact, effects

    def answers(self) -> Iterator[Answered]:
        """What the search method was told and what it answered, batch by batch, in order."""
        waiting: deque[tuple[int, SearcherEvent]] = deque()
        for row, fact, effects in self.steps():
            if isinstance(fact, OperationsPosted):
                events = []
                while fact.trigger is not None and waiting and waiting[0][0] <= fact.trigger:
                    events.append(waiting.popleft())
                yield Answered(row.seq, row.at, tuple(events), fact.operations)
            waiting.extend(_events(effects))

    def unanswered(self) -> list[tuple[int, SearcherEvent]]:
        """Events that wait for an answer, because the method failed, was stopped, or is not there yet.

        None are, once the method has shut the search down or a user has: it was not asked any more.
        """
        if any(_ends_the_search(row) for row in self.rows):
            return []
        waiting: deque[tuple[int, SearcherEvent]] = deque()
        for _, fact, effects in self.steps():
            if isinstance(fact, OperationsPosted):
                while fact.trigger is not None and waiting and waiting[0][0] <= fact.trigger:
                    waiting.popleft()
            waiting.extend(_events(effects))
        return list(waiting)

    def trials(self) -> list[RecordedTrial]:
        """All trials, by id."""
        found: dict[TrialId, RecordedTrial] = {}
        for row, fact, effects in self.steps():
            for effect in effects:
                if isinstance(effect, fx.TrialAdded):
                    found[effect.trial_id] = _new_trial(effect, row.at)
                elif isinstance(effect, fx.TrialChanged):
                    trial = found[effect.trial_id]
                    trial.state, trial.ended_at = effect.state, row.at if effect.state.is_terminal else None
            if isinstance(fact, OperationCompleted) and any(_events(effects)):
                # A report that was sent twice makes no second event.
                found[fact.trial_id].validations.append(Validation(row.at, fact.length, fact.metric))
            elif isinstance(fact, CheckpointReported):
                found[fact.trial_id].checkpoints.append((fact.steps, fact.uuid))
        for report in self.reports:
            found[report.trial_id].reports.append(report)
        return [found[trial_id] for trial_id in sorted(found)]

    def curves(self) -> list[Curve]:
        """The searched metric of each trial against its training, in the unit of the search, for a simulator.

        Points are the completed operations, and the validations in between where their steps can be told in that unit.
        Trials without a number among their metrics have no curve.
        """
        return [curve for trial in self.trials() if (curve := self._curve(trial)) is not None]

    def _curve(self, trial: RecordedTrial) -> Curve | None:
        metric = self.config.searcher.metric
        reported = {r.steps: r.metrics.get(metric) for r in trial.reports if r.group == "validation" and not r.archived}
        points: dict[float, Any] = {}
        scale = _scale(trial, metric)
        if scale is not None:
            points = {float(steps * scale): value for steps, value in reported.items()}
        points |= {float(v.length): v.metric for v in trial.validations}
        numbers = {length: float(value) for length, value in sorted(points.items()) if _is_number(value)}
        return Curve(trial.hparams, list(numbers), list(numbers.values())) if numbers else None


def _new_trial(effect: fx.TrialAdded, at: float) -> RecordedTrial:
    hparams = json.loads(effect.hparams)
    return RecordedTrial(effect.trial_id, effect.request_id, hparams, effect.warm_start, at, effect.state)


def _events(effects: Sequence[Effect]) -> Iterator[tuple[int, SearcherEvent]]:
    return ((e.event_id, e.event) for e in effects if isinstance(e, fx.EventEnqueued))


def _ends_the_search(row: JournalRow) -> bool:
    if row.kind == "operations_posted" and b'"shutDown"' in row.body:
        fact = journal.from_row(row)
        return isinstance(fact, OperationsPosted) and any(isinstance(op, Shutdown) for op in fact.operations)
    if row.kind == "experiment_commanded":
        fact = journal.from_row(row)
        return isinstance(fact, ExperimentCommanded) and fact.verb in (Verb.CANCEL, Verb.KILL)
    return False


def _scale(trial: RecordedTrial, metric: str) -> Fraction | None:
    """Units of the search in one step of the trial's reports, if that is the same at each completed operation."""
    scales: set[Fraction] = set()
    live = sorted((r.at, r.steps) for r in trial.reports if r.group == "validation" and metric in r.metrics)
    for validation in trial.validations:
        before = [steps for at, steps in live if at <= validation.at]
        if not before or before[-1] == 0:
            return None
        scales.add(Fraction(validation.length, before[-1]))
    return scales.pop() if len(scales) == 1 else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
