"""The event queue of one experiment, as the real service keeps it, in step with a list.

Masters die between and in the middle of calls. What a client was told must hold after that; what it was not told may
hold or not, but wholly.
"""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from determined.domain.ids import ExperimentId, UserId
from determined.domain.operations import Create, Operation, Progress, ValidateAfter
from determined.domain.records import User
from determined.errors import Conflict, DeterminedError, InvalidOperations
from determined.launchers.fake import FakeLauncher
from determined.master.service import runs
from determined.master.service.commit import Commits
from determined.master.service.contexts import Contexts
from determined.master.service.lane import Lane
from determined.master.service.ports import ContextFile, RunKey, Submission
from determined.master.service.service import MasterService
from determined.storage import protocol as db
from determined.storage.memory import MemoryStore
from determined.testing.store_factories import make_user
from determined.wire.searcher import operations_digest
from tests.simulation import plants

CONFIG = """
name: a queue
entrypoint: python train.py
searcher: {name: custom, metric: loss, smaller_is_better: true}
resources: {slots_per_trial: 1}
"""
TRAINING = ContextFile("train.py", b"pass", 0o644, 1)
TRIAL, NOBODY = uuid.UUID(int=1), uuid.UUID(int=99)
R = TypeVar("R")
# None of these makes an event; each is another batch.
batches = st.lists(
    st.one_of(
        st.builds(Progress, st.sampled_from([0.0, 0.5, 1.0])),
        st.builds(ValidateAfter, st.just(NOBODY), st.integers(1, 3)),
    ),
    max_size=3,
)
pick = st.integers(0, 9)
turns = st.integers(0, 4)
Event = tuple[int, str, float]


class _Mint:
    """Nobody looks at these."""

    async def user(self, user_id: UserId) -> User:
        return make_user(user_id)

    def mint_run_token(self, allocation_id: str) -> str:
        return "run"

    def mint_user_token(self, user: User, allocation_id: str) -> str:
        return "user"


class EventQueue(RuleBasedStateMachine):
    """The model: ``events`` are all that ever were, the first ``answered`` are off the queue; ``said`` are answers."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.events: list[Event] = []
        self.answered = 0
        self.said: dict[int, list[Operation]] = {}
        self.epoch = 0
        self.reports = 0

    @initialize()
    def begin(self) -> None:
        self.store, self.launcher = MemoryStore(), FakeLauncher(2)
        user = make_user(1)
        self.wait(self._open(user))
        self.service = self.start()
        submitted = self.wait(self.service.submit(user, Submission(CONFIG, [TRAINING])))
        assert submitted.experiment is not None
        self.experiment: ExperimentId = submitted.experiment.id
        self.events.append((1, "initialOperations", 0.0))
        self.answer(self.events[-1][0], [Create(TRIAL, {}), ValidateAfter(TRIAL, 10)])
        self.allocation = f"{self.experiment}.{TRIAL}.1"
        self.wait(self.launcher.started(self.allocation))
        self.events.append((2, "trialCreated", 0.0))

    async def _open(self, user: User) -> None:
        await self.store.open()
        await self.store.write([db.PutUser(user)])

    def start(self) -> MasterService:
        """A master on what is stored."""
        who = runs.Identity(master_id="m", cluster_id="c", url="http://localhost:8080")
        storage = {"type": "shared_fs", "host_path": self.folder.name}
        contexts = Contexts(Path(self.folder.name) / "contexts")
        service = MasterService(self.store, self.launcher, contexts, _Mint(), who, storage, clock=lambda: 0.0)
        self.wait(service.start())
        return service

    def teardown(self) -> None:
        self.wait(self._die())
        self.loop.close()
        self.folder.cleanup()

    def wait(self, work: Coroutine[Any, Any, R]) -> R:
        return self.loop.run_until_complete(work)

    async def _die(self) -> None:
        me = asyncio.current_task()
        while others := asyncio.all_tasks() - {me}:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        await self.launcher.close()

    # Clients

    @property
    def run(self) -> RunKey:
        run = self.service.live_run(self.allocation)
        assert run is not None
        return run

    def answer(self, trigger: int, operations: list[Operation]) -> None:
        self.wait(self.service.post_operations(self.experiment, operations, trigger, self.epoch or None))
        self.note(trigger, operations)

    def note(self, trigger: int, operations: list[Operation]) -> None:
        self.said[trigger] = operations
        self.answered = trigger

    def note_report(self) -> None:
        self.events.append((len(self.events) + 1, "trialProgress", float(self.reports)))

    async def _begin(self, work: Coroutine[Any, Any, None], turns: int) -> bool:
        """Start a call and let the loop turn a few times; whether the caller has got its answer by then."""
        task = asyncio.ensure_future(work)
        for _ in range(turns):
            await asyncio.sleep(0)
        return task.done()

    # What happens

    @rule(times=st.integers(1, 3))
    def enqueue(self, times: int) -> None:
        self.reports += 1
        for _ in range(times):
            self.wait(self.service.report_progress(self.run, float(self.reports), f"report {self.reports}"))
        self.note_report()

    @rule(after=pick)
    def poll(self, after: int) -> None:
        waiting = self.events[self.answered :]
        if not waiting:
            assert not self.wait(self._poll_in_vain())
            return
        found = self.wait(self.service.fetch_events(self.experiment))
        assert found.inactive_state is None
        got = [_read(raw) for raw in found.events]
        assert got == waiting
        assert [e for e in got if e[0] > after] == [e for e in self.events if e[0] > max(after, self.answered)]

    async def _poll_in_vain(self) -> bool:
        poll = asyncio.ensure_future(self.service.fetch_events(self.experiment))
        for _ in range(5):
            await asyncio.sleep(0)
        is_answered = poll.done()
        poll.cancel()
        await asyncio.gather(poll, return_exceptions=True)
        return is_answered

    @precondition(lambda self: self.answered < len(self.events))
    @rule(number=pick, operations=batches)
    def acknowledge(self, number: int, operations: list[Operation]) -> None:
        waiting = len(self.events) - self.answered
        self.answer(self.answered + 1 + number % waiting, operations)

    @precondition(lambda self: self.said)
    @rule(number=pick)
    def repeat(self, number: int) -> None:
        trigger = list(self.said)[number % len(self.said)]
        self.wait(self.service.post_operations(self.experiment, self.said[trigger], trigger, self.epoch or None))

    @precondition(lambda self: self.said)
    @rule(number=pick, operations=batches)
    def differ(self, number: int, operations: list[Operation]) -> None:
        trigger = list(self.said)[number % len(self.said)]
        if operations_digest(operations) != operations_digest(self.said[trigger]):
            with pytest.raises(Conflict):
                self.wait(self.service.post_operations(self.experiment, operations, trigger, self.epoch or None))

    @rule(number=pick, operations=batches.filter(bool))
    def answer_within_a_batch(self, number: int, operations: list[Operation]) -> None:
        """An event that was answered along with a later one has no answer of its own."""
        inner = [n for n in range(1, self.answered) if n not in self.said]
        if inner:
            with pytest.raises(Conflict):
                self.wait(
                    self.service.post_operations(
                        self.experiment, operations, inner[number % len(inner)], self.epoch or None
                    )
                )

    @rule(ahead=st.integers(1, 3), operations=batches)
    def answer_what_never_was(self, ahead: int, operations: list[Operation]) -> None:
        for trigger in (len(self.events) + ahead, 0, -ahead):
            with pytest.raises(InvalidOperations):
                self.wait(self.service.post_operations(self.experiment, operations, trigger, self.epoch or None))

    @rule()
    def create_twice(self) -> None:
        """One bad operation, and nothing of the batch is applied, nor is its event answered."""
        bad: list[Operation] = [Progress(0.25), Create(TRIAL, {})]
        if self.answered < len(self.events):
            with pytest.raises(InvalidOperations):
                self.wait(self.service.post_operations(self.experiment, bad, len(self.events), self.epoch or None))

    @rule(operations=batches)
    def attach(self, operations: list[Operation]) -> None:
        """Whoever was attached before is not listened to any more."""
        self.epoch += 1
        assert self.wait(self.service.attach(self.experiment)) == self.epoch
        with pytest.raises(Conflict):
            self.wait(self.service.post_operations(self.experiment, operations, len(self.events), self.epoch - 1))

    @rule()
    def crash(self) -> None:
        self.wait(self._die())
        self.service = self.start()

    @precondition(lambda self: self.answered < len(self.events))
    @rule(number=pick, operations=batches, turns=turns)
    def crash_while_acknowledging(self, number: int, operations: list[Operation], turns: int) -> None:
        trigger = self.answered + 1 + number % (len(self.events) - self.answered)
        work = self.service.post_operations(self.experiment, operations, trigger, self.epoch or None)
        was_told = self.wait(self._begin(work, turns))
        self.crash()
        stored = self.wait(self.store.find_batch(self.experiment, trigger))
        if was_told:
            assert stored is not None
        if stored is not None:
            assert stored == operations_digest(operations)
            self.note(trigger, operations)

    @rule(turns=turns)
    def crash_while_enqueuing(self, turns: int) -> None:
        """The trial repeats its report, which counts once, whether the first was stored or not."""
        self.reports += 1
        name, units = f"report {self.reports}", float(self.reports)
        self.wait(self._begin(self.service.report_progress(self.run, units, name), turns))
        self.crash()
        self.wait(self.service.report_progress(self.run, units, name))
        self.note_report()

    # What must hold

    @invariant()
    def the_stored_events_are_the_list(self) -> None:
        stored = self.wait(self.store.read_events(self.experiment, 0, 10_000))
        assert [_read(row.body) for row in stored] == self.events
        lane = self.service.commits.lanes[self.experiment]
        assert [number for number, _ in lane.queue] == [number for number, _, _ in self.events[self.answered :]]
        assert (lane.engine.answered, lane.engine.last_event) == (self.answered, len(self.events))


def _read(body: bytes | msgspec.Raw) -> Event:
    event = msgspec.json.decode(bytes(body))
    number = event.pop("id")
    [(kind, about)] = event.items()
    return number, kind, float(about.get("partialUnits", 0.0))


def accept_any_repetition(patch: pytest.MonkeyPatch) -> None:
    """A second answer to an event is taken for the first one, whatever it says."""

    async def check(self: MasterService, *about: Any) -> None:
        await asyncio.sleep(0)

    patch.setattr(MasterService, "_check_replay", check)


def hand_out_what_is_not_stored(patch: pytest.MonkeyPatch) -> None:
    """The queue is emptied by the decision, not by its commit."""
    real = Commits.submit

    def submit(self: Commits, lane: Lane, fact: Any, *more: Any, **named: Any) -> asyncio.Future[None]:
        answered = real(self, lane, fact, *more, **named)
        lane.queue.clear()
        return answered

    patch.setattr(Commits, "submit", submit)


def listen_to_everybody(patch: pytest.MonkeyPatch) -> None:
    """Runners that were replaced are still heard."""
    real = MasterService.post_operations

    async def post(self: MasterService, experiment_id: Any, ops: Any, trigger: Any, *others: Any) -> None:
        await real(self, experiment_id, ops, trigger, None)

    patch.setattr(MasterService, "post_operations", post)


@pytest.mark.parametrize(
    "plant",
    [
        accept_any_repetition,
        hand_out_what_is_not_stored,
        listen_to_everybody,
        plants.apply_a_repeated_batch_again,
        plants.forget_names_of_reports,
    ],
)
def test_a_planted_bug_is_noticed(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    hurried = settings(EventQueue.TestCase.settings, phases=[Phase.generate], database=None, print_blob=False)
    with pytest.raises((AssertionError, DeterminedError, pytest.fail.Exception)):
        run_state_machine_as_test(EventQueue, settings=hurried)


EventQueue.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestEventQueue = EventQueue.TestCase
