"""What a master keeps: journal, snapshot, events, answers and rows of one experiment; a unit is stored whole or not.

Everything that must hold of stored things is checked here, at the moment of storing, from the facts alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from determined.domain import facts
from determined.domain.events import TrialProgress, ValidationCompleted
from determined.domain.facts import Fact
from determined.domain.ids import ExperimentId, TrialId
from determined.domain.operations import Create
from determined.domain.records import JournalRow
from determined.domain.states import ExperimentState, TrialState
from determined.engine import effects as fx
from determined.engine import snapshot
from determined.engine.effects import Effect
from determined.engine.experiment import Experiment, Settings
from determined.engine.trial import MAX_LOST_RUNS
from determined.wire import journal
from determined.wire.searcher import event_to_json
from tests.simulation.processes import Call

EXPERIMENT = ExperimentId(1)
REPORTS = (
    facts.RunSeen,
    facts.ProgressReported,
    facts.OperationCompleted,
    facts.EarlyExitReported,
    facts.ExitAcknowledged,
    facts.MetricsReported,
    facts.CheckpointReported,
    facts.PreemptionRequested,
)
Head = tuple[ExperimentState, float | None]
Done = Callable[[Exception | None], None]


class Violation(AssertionError):
    """Something happened that never must."""


def demand(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise Violation(otherwise)


@dataclass(eq=False)
class Unit:
    """One fact and all that is stored with it.

    Attributes:
        source: the call that brought the fact, if one did.
        row: of metrics or of a checkpoint: its table, key and value.
        done: who waits for it; each hears None, or why it failed.
    """

    fact: Fact
    effects: list[Effect]
    row: JournalRow
    parts: dict[str, bytes]
    head: Head
    source: Call | None
    extra: tuple[str, Any, Any] | None
    done: list[Done] = field(default_factory=list)


@dataclass
class TrialRow:
    """One trial, as the tables show it, and how often its runs failed or were lost before they were seen."""

    request_id: str
    hparams: str
    state: TrialState
    restarts: int = 0
    failures: int = 0
    lost: int = 0
    is_seen: bool = False


class Disk:
    """Survives the master."""

    def __init__(self, settings: Settings, saved_answers: dict[int, str]) -> None:
        self.settings = settings
        self.saved_answers = saved_answers
        self.journal: list[JournalRow] = []
        self.parts: dict[str, bytes] = {}
        self.parts_seq = 0
        self.events: list[bytes] = []
        self.batches: dict[int, str] = {}
        self.answered = 0
        self.head: Head = (ExperimentState.PAUSED, None)
        self.trials: dict[TrialId, TrialRow] = {}
        self.metrics: dict[tuple[int, str, int], Any] = {}
        self.checkpoints: dict[str, tuple[int, int]] = {}
        self.epoch = 0
        self.live: dict[int, int] = {}
        self._runs: dict[int, int] = {}
        self._names: set[tuple[int, str]] = set()
        self._completed: dict[int, int] = {}

    @property
    def state(self) -> ExperimentState:
        return self.head[0]

    @property
    def next_trial(self) -> TrialId:
        return TrialId(max(self.trials, default=0) + 1)

    def load(self, *, from_start: bool = False) -> Experiment:
        """The engine after everything that is stored; from the first fact on, or from the snapshot."""
        parts = {} if from_start else self.parts
        rows = self.journal if from_start else self.journal[self.parts_seq :]
        return snapshot.restore(self.settings, parts, (journal.from_row(row) for row in rows))

    def store(self, unit: Unit) -> None:
        """Store a unit, and check that it may be."""
        demand(unit.row.seq == len(self.journal) + 1, f"fact {unit.row.seq} is stored after {len(self.journal)}")
        self._check_fact(unit.fact, unit.source)
        self.journal.append(unit.row)
        for effect in unit.effects:
            self._store(unit.fact, effect)
        if unit.parts:
            self.parts |= unit.parts
            self.parts_seq = unit.row.seq
        self.head = unit.head
        progress = unit.head[1]
        demand(progress is None or 0.0 <= progress <= 1.0, f"progress is {progress}")
        if unit.extra is not None:
            self._store_row(*unit.extra)

    def _store(self, fact: Fact, effect: Effect) -> None:
        if isinstance(effect, fx.EventEnqueued):
            expected = len(self.events) + 1
            demand(effect.event_id == expected, f"event {effect.event_id} is stored in the place of {expected}")
            self.events.append(msgspec.json.encode(event_to_json(effect.event_id, effect.event)))
            self._check_event(fact, effect)
        elif isinstance(effect, fx.EventsAcknowledged):
            self._acknowledge(fact, effect.event_id)
        elif isinstance(effect, fx.TrialAdded):
            demand(effect.trial_id not in self.trials, f"trial {effect.trial_id} exists twice")
            row = TrialRow(str(effect.request_id), effect.hparams, effect.state)
            self.trials[effect.trial_id] = row
        elif isinstance(effect, fx.TrialChanged):
            row = self.trials[effect.trial_id]
            demand(not row.state.is_terminal, f"trial {effect.trial_id} was {row.state.value} and changes")
            self._check_failures(row, effect)
            row.state, row.restarts = effect.state, effect.restarts

    def _check_failures(self, row: TrialRow, new: fx.TrialChanged) -> None:
        most = self.settings.max_restarts
        is_error = new.state is TrialState.ERROR
        demand(new.restarts <= most + is_error, f"trial {new.trial_id} restarts {new.restarts} times of {most}")
        demand(new.restarts <= row.failures, f"trial {new.trial_id} restarts without having failed")
        demand(not is_error or row.failures > (0 if row.state.is_stopping else most), f"trial {new.trial_id} is {new}")

    def _acknowledge(self, fact: Fact, event_id: int) -> None:
        assert isinstance(fact, facts.OperationsPosted)
        demand(event_id not in self.batches, f"event {event_id} is answered twice")
        demand(self.answered < event_id <= len(self.events), f"event {event_id} is answered after {self.answered}")
        saved = self.saved_answers.get(event_id)
        demand(saved == fact.digest, f"the answer to event {event_id} is not the one that the runner saved")
        self.batches[event_id] = fact.digest
        self.answered = event_id

    def _check_fact(self, fact: Fact, source: Call | None) -> None:
        if isinstance(fact, facts.SlotsGranted):
            demand(fact.trial_id not in self.live, f"trial {fact.trial_id} has a run and gets another")
            before = self._runs.get(fact.trial_id, 0)
            demand(fact.run_id == before + 1, f"trial {fact.trial_id}: run {fact.run_id} follows run {before}")
            self.live[fact.trial_id] = self._runs[fact.trial_id] = fact.run_id
            self.trials[fact.trial_id].is_seen = False
        elif isinstance(fact, facts.RunExited):
            self._demand_live(fact.trial_id, fact.run_id, "exit")
            del self.live[fact.trial_id]
            self._count_failure(fact)
        elif isinstance(fact, facts.OperationsPosted):
            demand(fact.trigger is None or fact.trigger not in self.batches, f"event {fact.trigger} is answered again")
            demand(fact.trigger is not None, "operations are posted that answer no event")
            self._check_sources(fact)
        elif isinstance(fact, REPORTS):
            trial_id, run_id = (fact.trial_id, fact.run_id) if source is None else source.about
            self._demand_live(trial_id, run_id, type(fact).__name__)
            if isinstance(fact, facts.RunSeen):
                self.trials[fact.trial_id].is_seen = True
                self.trials[fact.trial_id].lost = 0

    def _count_failure(self, fact: facts.RunExited) -> None:
        """A loss is no failure, unless it is one of many in a row before the start line."""
        row = self.trials[fact.trial_id]
        if fact.code is None and not row.is_seen:
            row.lost += 1
        row.failures += row.lost >= MAX_LOST_RUNS if fact.code is None else fact.code != 0

    def _check_sources(self, fact: facts.OperationsPosted) -> None:
        for op in fact.operations:
            if isinstance(op, Create) and op.checkpoint is not None:
                demand(op.checkpoint in self.checkpoints, f"checkpoint {op.checkpoint} is used and does not exist")

    def _demand_live(self, trial_id: int, run_id: int, what: str) -> None:
        live = self.live.get(trial_id)
        demand(live == run_id, f"{what} of run {run_id} of trial {trial_id} is accepted; live is {live}")

    def _check_event(self, fact: Fact, effect: fx.EventEnqueued) -> None:
        event = effect.event
        if isinstance(event, TrialProgress):
            assert isinstance(fact, facts.ProgressReported)
            name = (fact.trial_id, fact.report)
            demand(name not in self._names, f"report {fact.report} of trial {fact.trial_id} is counted twice")
            self._names.add(name)
        elif isinstance(event, ValidationCompleted):
            assert isinstance(fact, facts.OperationCompleted)
            before = self._completed.get(fact.trial_id, -1)
            demand(fact.length > before, f"trial {fact.trial_id} completed {fact.length} after {before}")
            self._completed[fact.trial_id] = fact.length

    def _store_row(self, table: str, key: Any, value: Any) -> None:
        if table == "metrics":
            known = self.metrics.setdefault(key, value)
            demand(known == value, f"metrics {key} were {known} and are reported as {value}")
        else:
            self.checkpoints[key] = value
