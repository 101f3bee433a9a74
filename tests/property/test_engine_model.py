"""The engine in step with a naive model of an experiment, over facts that fit and facts that do not.

At every step: both agree on everything, a refused fact changes nothing, what the effects add up to is what the engine
says, and an engine restored from its snapshot and the journal after it is the same and goes on in the same way.
"""

from __future__ import annotations

import uuid
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from determined.domain import facts
from determined.domain.events import TrialClosed, TrialCreated, TrialExitedEarly, TrialProgress, ValidationCompleted
from determined.domain.facts import DeadlineKind, Fact, Verb
from determined.domain.ids import ExperimentId, RunId, TrialId
from determined.domain.operations import Close, Create, Operation, Progress, Shutdown, ValidateAfter
from determined.domain.records import JournalRow
from determined.domain.states import RunPhase
from determined.engine import effects as fx
from determined.engine import snapshot
from determined.engine.experiment import Experiment
from determined.engine.invariants import check
from determined.engine.trial import MAX_LOST_RUNS
from determined.errors import DeterminedError
from determined.wire import journal
from tests.property.engine_model import SETTINGS, Model, ModelTrial
from tests.property.engine_world import World

NAMES = [uuid.UUID(int=n) for n in range(1, 5)]
names = st.sampled_from(NAMES)
lengths = st.sampled_from([0, 10, 20])
flags = st.booleans()
checkpoints = st.sampled_from([None, str(uuid.UUID(int=99))])
operation = st.one_of(
    st.builds(Create, names, st.just("{}"), checkpoints),
    st.builds(Create, names, st.just("{}"), source_trial=names),
    st.builds(ValidateAfter, names, lengths),
    st.builds(ValidateAfter, names, lengths),
    st.builds(Close, names),
    st.builds(Progress, st.sampled_from([-1.0, 0.0, 0.25, 1, 2.0])),
)
batches = st.lists(operation, max_size=4)
ends = st.lists(st.builds(Shutdown, flags, flags), max_size=1)
metrics = st.sampled_from([0.5, 0.25, 1, "x", float("nan"), float("inf"), [1.5], {"a": None}, 2**70])
pick = st.integers(0, 5)
late = st.sampled_from([0, 0, 0, 0, 0, 1, -1])


class EngineAndModel(RuleBasedStateMachine):
    @initialize(active=flags)
    def begin(self, active: bool) -> None:
        self.engine = Experiment(SETTINGS)
        self.twin = Experiment(SETTINGS)
        self.model = Model()
        self.world = World()
        self.parts: dict[str, bytes] = {}
        self.rows: list[JournalRow] = []
        self.at = 0.0
        self.next_trial = 1
        self.tell(facts.ExperimentCreated(at=0.0, active=active))

    # Facts, most of them about something that exists

    def now(self) -> float:
        self.at += 1.0
        return self.at

    def about(self, number: int, shift: int, queued: bool = False) -> dict[str, Any]:
        """A trial and run, mostly one of those that wait or run; ``shift`` makes it another run."""
        live = [(t.id, t.run.id) for t in self.model.all if t.run and not t.end and (t.run.phase == "QUEUED") == queued]
        every = live or [(t.id, t.runs) for t in self.model.all] or [(1, 1)]
        trial, run = every[number % len(every)]
        return {"at": self.now(), "trial_id": TrialId(trial), "run_id": RunId(run + shift)}

    @rule(
        operations=st.lists(operation, max_size=6), end=ends, more=st.lists(operation, max_size=2), back=pick, ask=flags
    )
    def post(
        self, operations: list[Operation], end: list[Operation], more: list[Operation], back: int, ask: bool
    ) -> None:
        # A search that ends at once teaches nothing.
        batch = operations + (end if back == 0 else []) + more
        trigger = max(self.engine.last_event + 1 - back, -1) if ask else None
        self.tell(
            facts.OperationsPosted(
                at=self.now(), operations=tuple(batch), trigger=trigger, first_trial_id=TrialId(self.next_trial)
            )
        )

    @rule(name=names, length=lengths, close=flags)
    def create(self, name: uuid.UUID, length: int, close: bool) -> None:
        batch: tuple[Operation, ...] = (Create(name, {}), ValidateAfter(name, length))
        if close:
            batch += (Close(name),)
        self.tell(
            facts.OperationsPosted(
                at=self.now(), operations=batch, trigger=None, first_trial_id=TrialId(self.next_trial)
            )
        )

    @rule(verb=st.sampled_from([Verb.PAUSE, Verb.ACTIVATE, Verb.ACTIVATE, Verb.CANCEL, Verb.KILL]), sure=pick)
    def command(self, verb: Verb, sure: int) -> None:
        if verb in (Verb.PAUSE, Verb.ACTIVATE) or sure == 0:
            self.tell(facts.ExperimentCommanded(at=self.now(), verb=verb))

    @rule(sure=st.integers(0, 20))
    def method_fails(self, sure: int) -> None:
        if sure == 0:
            self.tell(facts.MethodFailed(at=self.now(), message="it raised"))

    @rule(number=st.integers(0, 6))
    def kill(self, number: int) -> None:
        self.tell(facts.TrialKillRequested(at=self.now(), trial_id=TrialId(number)))

    @rule(number=st.integers(0, 6))
    def cancel(self, number: int) -> None:
        self.tell(facts.TrialCancelRequested(at=self.now(), trial_id=TrialId(number)))

    @rule(number=pick, shift=late)
    def grant(self, number: int, shift: int) -> None:
        self.tell(facts.SlotsGranted(**self.about(number, shift, queued=True), slot_ids=(0, 1), agent="host"))

    @rule(number=pick, shift=late)
    def grant_and_see(self, number: int, shift: int) -> None:
        who = self.about(number, shift, queued=True)
        self.tell(facts.SlotsGranted(**who, slot_ids=(2,), agent="host"))
        self.tell(facts.RunSeen(**{**who, "at": self.now()}))

    @rule(number=pick, shift=late)
    def see(self, number: int, shift: int) -> None:
        self.tell(facts.RunSeen(**self.about(number, shift)))

    @rule(number=pick, shift=late, code=st.sampled_from([0, 0, 1, 137, None]))
    def exit(self, number: int, shift: int, code: int | None) -> None:
        self.tell(facts.RunExited(**self.about(number, shift), code=code, reason="so it is"))

    @rule(number=pick, times=st.integers(1, MAX_LOST_RUNS + 2))
    def lose(self, number: int, times: int) -> None:
        for _ in range(times):
            self.grant(number, 0)
            self.tell(facts.RunExited(**self.about(number, 0), code=None))

    @rule(number=pick, shift=late, units=st.sampled_from([0.0, 5.0, 10.0]))
    def progress(self, number: int, shift: int, units: float) -> None:
        self.tell(facts.ProgressReported(**self.about(number, shift), units=units))

    @rule(number=pick, shift=late, metric=metrics, wrong=late)
    def complete(self, number: int, shift: int, metric: Any, wrong: int) -> None:
        who = self.about(number, shift)
        asked = [t.length or 0 for t in self.model.all if t.id == who["trial_id"]] or [0]
        fact = facts.OperationCompleted(**who, length=asked[0] + wrong, metric=metric)
        self.tell(fact)
        if number == 0:
            self.tell(fact)

    @rule(number=pick, shift=late)
    def leave(self, number: int, shift: int) -> None:
        who = self.about(number, shift)
        self.tell(facts.ExitAcknowledged(**who))
        self.tell(facts.RunExited(**{**who, "at": self.now()}, code=0))

    @rule(
        number=pick,
        shift=late,
        kind=st.sampled_from([facts.EarlyExitReported, facts.ExitAcknowledged, facts.PreemptionRequested]),
    )
    def report(self, number: int, shift: int, kind: Any) -> None:
        self.tell(kind(**self.about(number, shift)))

    @rule(number=pick, shift=late)
    def make_room(self, number: int, shift: int) -> None:
        self.tell(facts.PreemptionRequested(**self.about(number, shift), for_priority=True))

    @rule(number=pick, shift=late, steps=st.sampled_from([10, 20]))
    def save(self, number: int, shift: int, steps: int) -> None:
        self.tell(facts.CheckpointReported(**self.about(number, shift), uuid=f"c{self.at}", steps=steps))
        self.tell(facts.MetricsReported(**self.about(number, shift), group="validation", steps=steps))

    @rule(number=pick, shift=late, kind=st.sampled_from(list(DeadlineKind)))
    def deadline(self, number: int, shift: int, kind: DeadlineKind) -> None:
        self.tell(facts.DeadlinePassed(**self.about(number, shift), kind=kind))

    @rule()
    def take_snapshot(self) -> None:
        self.parts.update(snapshot.take(self.engine))
        self.rows = []

    # What must hold

    def tell(self, fact: Fact) -> None:
        before = picture(self.engine)
        refused = not self.model.take(fact)
        try:
            effects = self.engine.handle(fact)
        except DeterminedError:
            assert refused, f"the engine refuses {fact}"
            assert picture(self.engine) == before
            self.world.carry_out([])
            return
        assert not refused, f"the engine accepts {fact}"
        assert repr(self.twin.handle(fact)) == repr(effects)
        self.world.carry_out(effects)
        self.rows.append(journal.to_row(ExperimentId(1), len(self.rows), fact))
        self.next_trial += sum(isinstance(e, fx.TrialAdded) for e in effects)

    @invariant()
    def engine_is_sound(self) -> None:
        assert check(self.engine) == []

    @invariant()
    def engine_and_model_agree(self) -> None:
        engine, model, world = self.engine, self.model, self.world
        assert engine.state.value == model.state
        assert engine.progress == model.progress
        assert engine.answered == model.answered
        assert engine.last_event == len(model.events)
        assert sorted(map(repr, world.events)) == sorted(map(repr, model.events))
        assert {t.id for t in model.all} == set(engine.index.values()) == set(world.rows)
        assert {t.id for t in model.all if not t.end} == set(engine.trials)
        for t in model.all:
            self.compare(t)
        waiting = {(t.id, t.run.id) for t in model.all if t.run and t.run.phase == "QUEUED" and not t.end}
        assert world.queue == waiting
        assert sorted(world.kills) == sorted(model.kills)
        assert world.started == model.started

    def compare(self, t: ModelTrial) -> None:
        row = self.world.rows[t.id]
        state = t.end or (f"STOPPING_{t.stop}" if t.stop else self.model.state)
        assert row.state.value == state
        if isinstance(row, fx.TrialChanged):
            phase = None if t.end or t.run is None else RunPhase(t.run.phase)
            assert (row.run_id, row.phase, row.restarts) == (t.runs, phase, t.restarts)
            assert row.closed == (t.closed or bool(t.end))
        if t.end:
            return
        live = self.engine.trials[TrialId(t.id)]
        assert (live.length, live.complete, live.closed) == (t.length, t.complete, t.closed)
        if t.run and t.run.phase != "QUEUED":
            assert ((t.id, t.run.id) in self.world.asked) == t.run.asked

    @invariant()
    def events_of_each_trial_come_in_order(self) -> None:
        for name in NAMES:
            kinds = [KIND[type(e)] for e in self.world.events if getattr(e, "request_id", None) == name]
            text = "".join(kinds)
            assert text.count("n") <= 1
            assert text.count("n") == 0 or text[0] == "n"
            assert text.count("x") <= 1
            assert text.count("c") <= 1
            assert text.rstrip("c").rstrip("x").strip("npv") == ""
            assert "n" in text or text in ("", "c", "xc")
            over = self.engine.index.get(name) is not None and self.engine.index[name] not in self.engine.trials
            assert text.endswith("c") == over

    @invariant()
    def it_comes_back_as_it_was(self) -> None:
        replay = [journal.from_row(row) for row in self.rows]
        fresh = snapshot.restore(SETTINGS, self.parts, replay)
        assert picture(fresh) == picture(self.engine)
        assert list(fresh.trials) == list(self.engine.trials)
        assert repr(fresh.resume(0.0)) == repr(self.engine.resume(0.0))
        # The next fact goes to the restored engine too, which must answer as this one does.
        self.twin = fresh


KIND = {TrialCreated: "n", TrialProgress: "p", ValidationCompleted: "v", TrialExitedEarly: "x", TrialClosed: "c"}


def picture(engine: Experiment) -> tuple[object, ...]:
    """Everything that an engine is, but for what it has to save."""
    head = (engine.state, engine.progress, engine.message, engine.ended_at, engine.last_event, engine.answered)
    return (*head, repr(sorted(engine.trials.items())), repr(sorted(engine.index.items())))


EngineAndModel.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestEngineAndModel = EngineAndModel.TestCase


def test_pausing_what_is_paused_kills_a_starting_run_only_once() -> None:
    steps = EngineAndModel()
    steps.begin(active=True)
    steps.create(name=NAMES[0], length=0, close=False)
    steps.grant(number=0, shift=0)
    for killed in ([(1, 1)], []):
        steps.command(verb=Verb.PAUSE, sure=0)
        assert steps.world.kills == killed
        steps.engine_and_model_agree()
