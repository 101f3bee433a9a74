"""A model of the master around the real engine: units to the disk first, then answers, news and actions.

It follows ``determined/master/service``: the engine decides at once, what follows is stored a little later, and only
then is anything told or done. All that it holds in memory is lost when it dies; the next begins with what is stored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from determined.domain import facts
from determined.domain.facts import Fact
from determined.domain.ids import RunId, TrialId
from determined.engine import effects as fx
from determined.engine import snapshot
from determined.engine.effects import Effect
from determined.engine.experiment import Experiment
from determined.engine.invariants import check
from determined.engine.slots import Grant, Request, SlotPool
from determined.errors import DeterminedError, StaleRun, StorageFailed
from determined.master.service.commit import _QUIET
from determined.wire import journal
from tests.simulation.clock import FACT, Timer
from tests.simulation.disk import EXPERIMENT, Disk, Done, Unit, demand
from tests.simulation.launcher import Key, Spec
from tests.simulation.network import Answer
from tests.simulation.processes import Call, Host
from tests.simulation.requests import Requests

if TYPE_CHECKING:
    from tests.simulation.world import World

Extra = tuple[str, Any, Any]


class Master(Host):
    """One life of a master, from its start to its death.

    Attributes:
        queue: committed, unanswered events.
        answered, answered_at: newest event whose answer is stored, and when that was.
    """

    def __init__(self, world: World, number: int) -> None:
        super().__init__(world.clock, f"master {number}")
        self.world = world
        self.disk: Disk = world.disk
        self.pool = SlotPool(range(world.setup.slots))
        self.engine: Experiment = self.load()
        self.queue: deque[tuple[int, bytes]] = deque()
        self.answered = 0
        self.answered_at = 0.0
        self.next_trial = TrialId(1)
        self.epoch = self.disk.epoch
        self.requests = Requests(self)
        self._pending: list[Unit] = []
        self._unsaved = 0
        self._seq = 0
        self._last: dict[Key, deque[tuple[Callable[[], None], str]]] = {}
        self._alarms: dict[Key, list[Timer]] = {}
        self._granting = False
        self._take_in()

    # Life

    def load(self) -> Experiment:
        return self.disk.load()

    def recover(self) -> None:
        """Do again what was ordered and not seen to be done; slots of live runs first."""
        self.world.launcher.listener = lambda key, code: self.do(lambda: self.hear_of_exit(key, code))
        if not self.disk.journal:
            self.persist(lambda: facts.ExperimentCreated(at=self.clock.now, active=True))
        elif not self.engine.state.is_terminal:
            effects = self.engine.resume(self.clock.now)
            for effect in sorted(effects, key=lambda e: not isinstance(e, fx.RunFound)):
                self.perform(effect)

    def die(self, stored: int = 0) -> None:
        """Die with the first so many of the units on their way stored, and nobody told."""
        super().die()
        for unit in self._pending[:stored]:
            self.disk.store(unit)
        self._pending.clear()
        self.world.launcher.listener = None

    @property
    def units_on_their_way(self) -> int:
        return len(self._pending)

    def _take_in(self) -> None:
        self._pending.clear()
        self._seq = len(self.disk.journal)
        self._unsaved = self._seq - self.disk.parts_seq
        self.answered = self.engine.answered
        self.queue = deque(enumerate(self.disk.events[self.answered :], self.answered + 1))
        self.next_trial = self.disk.next_trial

    # Calls

    def receive(self, call: Call, answer: Answer) -> None:
        self.do(lambda: self._handle(call, answer))

    def _handle(self, call: Call, answer: Answer) -> None:
        def told(value: Any) -> None:
            if self.alive:
                answer(value)

        try:
            self.requests.handle(call, told)
        except DeterminedError as e:
            told(e)

    # Commits

    def submit(
        self, fact: Fact, done: Done | None = None, source: Call | None = None, extra: Extra | None = None
    ) -> None:
        """Let the engine decide; ``done`` hears when all of it is stored.

        Raises:
            DeterminedError: the engine refuses the fact.
        """
        effects = self.engine.handle(fact)
        self.clock.note(FACT, f"{type(fact).__name__} {getattr(fact, 'trial_id', '')} -> {len(effects)}")
        broken = check(self.engine)
        demand(not broken, f"after {fact}: {broken}")
        if not effects and extra is None and type(fact) in _QUIET:
            self.when_settled(done)
            return
        self._seq += 1
        self._unsaved += 1
        self._pending.append(self._unit(fact, effects, source, extra))
        if done is not None:
            self._pending[-1].done.append(done)
        self.next_trial = TrialId(self.next_trial + sum(isinstance(e, fx.TrialAdded) for e in effects))
        if len(self._pending) == 1:
            self.later(self.clock.random.uniform(0.001, 0.02), self._commit, "commits")

    def when_settled(self, done: Done | None) -> None:
        """Tell once what the engine holds now is stored."""
        if done is None:
            return
        if self._pending:
            self._pending[-1].done.append(done)
        else:
            done(None)

    def persist(self, make: Callable[[], Fact], then: Callable[[], None] = lambda: None) -> None:
        """Submit what the world has made true already, until it is stored; what is over by now is dropped."""

        def done(error: Exception | None) -> None:
            if error is None:
                then()
            else:
                self.later(0.2, lambda: self.persist(make, then), "stores again")

        try:
            self.submit(make(), done)
        except StaleRun:
            then()

    def _unit(self, fact: Fact, effects: list[Effect], source: Call | None, extra: Extra | None) -> Unit:
        parts = {}
        if self._unsaved >= self.world.setup.snapshot_every:
            self._unsaved = 0
            parts = snapshot.take(self.engine)
        row = journal.to_row(EXPERIMENT, self._seq, fact)
        return Unit(fact, effects, row, parts, (self.engine.state, self.engine.progress), source, extra)

    def _commit(self) -> None:
        if not self._pending:
            return
        if self.world.faults.dies_at_commit():
            self.world.crash_master()
            return
        units, self._pending = self._pending, []
        if self.world.faults.disk_fails():
            self._fall_back(units)
            return
        for unit in units:
            self.disk.store(unit)
        for unit in units:
            self._publish(unit)

    def _fall_back(self, units: list[Unit]) -> None:
        """What the engine holds is ahead of what is stored: read it again."""
        self.engine = self.load()
        self._take_in()
        for unit in units:
            for done in unit.done:
                done(StorageFailed("the disk is full"))

    def _publish(self, unit: Unit) -> None:
        for effect in unit.effects:
            if isinstance(effect, fx.EventEnqueued):
                self.queue.append((effect.event_id, self.disk.events[effect.event_id - 1]))
            elif isinstance(effect, fx.EventsAcknowledged):
                self.answered, self.answered_at = effect.event_id, self.clock.now
                while self.queue and self.queue[0][0] <= effect.event_id:
                    self.queue.popleft()
                self.requests.tell("answered")
            elif isinstance(effect, fx.OperationChanged):
                self.requests.tell(("operation", effect.trial_id))
            self.perform(effect)
        for done in unit.done:
            done(None)
        self.requests.tell("experiment")

    # Actions

    def perform(self, effect: Effect) -> None:
        """Begin an action; its outcome comes back as a fact."""
        if isinstance(effect, fx.SlotsWanted):
            self.pool.want(self._request(effect.trial_id, effect.run_id))
            self._grant_soon()
        elif isinstance(effect, fx.SlotsWithdrawn):
            self.pool.withdraw(effect.trial_id, effect.run_id)
            self._grant_soon()
        elif isinstance(effect, fx.RunStart):
            self._start(effect)
        elif isinstance(effect, fx.RunKill):
            self.requests.tell(("preempt", effect.trial_id))
            key = (effect.trial_id, effect.run_id)
            self._in_order(key, lambda: self.world.launcher.kill(key), "kills")
        elif isinstance(effect, fx.RunPreempt):
            self.requests.tell(("preempt", effect.trial_id))
        elif isinstance(effect, fx.RunEnded):
            self._clear_up(effect)
        elif isinstance(effect, fx.DeadlineSet):
            self._set_alarm(effect)
        elif isinstance(effect, fx.RunFound):
            self._take_up(effect)

    def _request(self, trial_id: TrialId, run_id: RunId) -> Request:
        return Request(42, EXPERIMENT, trial_id, run_id, self.world.setup.slots_per_trial)

    def _grant_soon(self) -> None:
        if not self._granting:
            self._granting = True
            self.later(0.0, self._grant, "grants")

    def _grant(self) -> None:
        self._granting = False
        for grant in self.pool.grant():
            self._commit_grant(grant)
        if self.pool.waiting:
            self.requests.tell("slots wanted")

    def _commit_grant(self, grant: Grant) -> None:
        trial_id, run_id = grant.request.trial_id, grant.request.run_id

        def release_if_over() -> None:
            trial = self.engine.trials.get(trial_id)
            run = None if trial is None else trial.run
            if run is None or run.run_id != run_id or not run.has_process:
                self.pool.release(trial_id, run_id)
                self._grant_soon()

        self.persist(
            lambda: facts.SlotsGranted(
                at=self.clock.now, trial_id=trial_id, run_id=run_id, slot_ids=grant.slot_ids, agent="host"
            ),
            release_if_over,
        )

    def _in_order(self, key: Key, action: Callable[[], None], label: str) -> None:
        """Actions on one run happen one after the other; each takes a while."""
        waiting = self._last.setdefault(key, deque())
        waiting.append((action, label))
        if len(waiting) == 1:
            self._act_later(key, label)

    def _act_later(self, key: Key, label: str) -> None:
        self.later(self.clock.random.uniform(0.001, 0.2), lambda: self._act(key), f"{label} {key}")

    def _act(self, key: Key) -> None:
        waiting = self._last[key]
        waiting[0][0]()
        waiting.popleft()
        if waiting:
            self._act_later(key, waiting[0][1])

    def _start(self, effect: fx.RunStart) -> None:
        spec = Spec(effect.trial_id, effect.run_id, effect.slot_ids, effect.checkpoint, effect.steps)
        self._in_order(spec.key, lambda: self.world.launcher.start(spec), "starts")

    def _take_up(self, effect: fx.RunFound) -> None:
        self.pool.hold(self._request(effect.trial_id, effect.run_id), effect.slot_ids)
        key = (effect.trial_id, effect.run_id)

        def take_up() -> None:
            if self.world.launcher.adopt(key):
                return
            if effect.started:
                self._end(key, None, "nothing is left of it")
            else:
                self._start(
                    fx.RunStart(effect.trial_id, effect.run_id, effect.slot_ids, effect.checkpoint, effect.steps)
                )

        self._in_order(key, take_up, "takes up")

    def hear_of_exit(self, key: Key, code: int | None) -> None:
        """The launcher's news; told again after a restart, until it is stored."""
        self._end(key, code, "")

    def _end(self, key: Key, code: int | None, reason: str) -> None:
        trial_id, run_id = TrialId(key[0]), RunId(key[1])
        self.persist(
            lambda: facts.RunExited(at=self.clock.now, trial_id=trial_id, run_id=run_id, code=code, reason=reason)
        )

    def _clear_up(self, effect: fx.RunEnded) -> None:
        self.pool.release(effect.trial_id, effect.run_id)
        for alarm in self._alarms.pop((effect.trial_id, effect.run_id), []):
            alarm.cancel()
        self.requests.tell(("preempt", effect.trial_id))
        self._grant_soon()

    def _set_alarm(self, effect: fx.DeadlineSet) -> None:
        def ring() -> None:
            self.persist(
                lambda: facts.DeadlinePassed(
                    at=self.clock.now, trial_id=effect.trial_id, run_id=effect.run_id, kind=effect.kind
                )
            )

        timer = self.later(effect.after_s, ring, f"deadline of {effect.trial_id}")
        self._alarms.setdefault((effect.trial_id, effect.run_id), []).append(timer)
