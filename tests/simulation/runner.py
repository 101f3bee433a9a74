"""A search runner: the real loop's decisions, with a disk and a network that are simulated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

from determined.domain.operations import Operation
from determined.domain.search_method import SearcherState, SearchMethod
from determined.errors import Conflict, CorruptState, InvalidInput
from determined.searcher.event import QueuedEvent, as_queued
from determined.searcher.runner import SearchRunner, _inactive_state
from determined.searcher.submit import new_state
from determined.wire.searcher import Inactive, operation_to_json, operations_digest, operations_from_json
from tests.simulation.disk import EXPERIMENT, Violation, demand
from tests.simulation.processes import Call, Died, Exit, Script, Sleep, patiently

if TYPE_CHECKING:
    from tests.simulation.world import World

EVENTS_TIMEOUT_S, POST_TIMEOUT_S = 90.0, 60.0
WHO = (0, 0)


@dataclass(frozen=True)
class Generation:
    """One saved state, as JSON; ``chain`` sums up every event that was applied to it, in order."""

    state: str
    method: str
    operations: str
    chain: bytes
    applied: int


class Saves:
    """What the runner has on its disk; of the answers it has ever saved, a digest each."""

    def __init__(self) -> None:
        self.newest: Generation | None = None
        self.answers: dict[int, str] = {}


class SimulatedRunner(SearchRunner):
    """Keeps what it would send in ``outbox``, and saves to a simulated disk."""

    def __init__(self, method: SearchMethod, world: World) -> None:
        super().__init__(method)
        self.world = world
        self.saves = world.saves
        self.outbox: list[tuple[int, list[Any]]] = []
        self.chain = b""
        self.applied = 0

    def begin(self) -> list[Operation] | None:
        """Load what was saved, or make the first save."""
        if self.saves.newest is not None:
            return self.load_state(EXPERIMENT)[1]
        self.state = new_state(EXPERIMENT)
        self.save_state(EXPERIMENT, [])
        return None

    def load_state(self, experiment_id: Any) -> tuple[int, list[Operation]]:
        saved = self.saves.newest
        assert saved is not None
        self.state = SearcherState()
        self.state.from_dict(json.loads(saved.state))
        self.search_method.restore(json.loads(saved.method))
        self.chain, self.applied = saved.chain, saved.applied
        return experiment_id, operations_from_json(json.loads(saved.operations))

    def save_state(self, experiment_id: int, operations: list[Operation]) -> None:
        if self.world.faults.runner_dies():
            raise Died
        last = self.state.last_event_id
        demand(self.applied == last, f"{self.applied} events are applied to a state that says {last}")
        demand(self.chain == self.world.chain_up_to(last), f"the state after event {last} is not made of those events")
        self.saves.newest = Generation(
            json.dumps(self.state.to_dict()),
            json.dumps(self.search_method.snapshot()),
            json.dumps([operation_to_json(op) for op in operations]),
            self.chain,
            self.applied,
        )
        self.saves.answers[last] = operations_digest(operations)
        if self.world.faults.runner_dies():
            raise Died

    def post_operations(self, session: Any, experiment_id: int, event: Any, operations: list[Operation]) -> None:
        self.outbox.append((event.id, [operation_to_json(op) for op in operations]))

    def _get_operations(self, event: QueuedEvent) -> list[Operation]:
        body = event.to_json()
        self.chain = chained(self.chain, msgspec.json.encode(body))
        self.applied += 1
        return super()._get_operations(event)


def chained(chain: bytes, event: bytes) -> bytes:
    """The sum of events, with one more."""
    return blake2b(chain + event, digest_size=16).digest()


def script(world: World) -> Script:
    """One life of a runner, as ``LocalSearchRunner.run`` lives it."""
    runner = world.make_runner()
    prior = runner.begin()
    epoch = yield from patiently(Call("attach", WHO, None, POST_TIMEOUT_S))
    try:
        while True:
            answer = yield from patiently(Call("events", WHO, None, EVENTS_TIMEOUT_S))
            events = [as_queued(e) for e in answer]
            for part in _known_and_fresh(runner, events):
                prior = runner._serve(None, EXPERIMENT, part, prior)
                yield from _send(runner, epoch)
            state = _inactive_state(events)
            if state is not None and runner._is_over(state):
                world.ended_for_runner = state
                return
            if state is not None or not events:
                yield Sleep(1.0)
    except (InvalidInput, CorruptState) as e:
        raise Violation(f"the search runner gives up: {e}") from e


def _known_and_fresh(runner: SimulatedRunner, events: list[QueuedEvent]) -> list[Sequence[QueuedEvent]]:
    """The two halves of a batch: the real loop sends an answer again before it handles anything new."""
    queued = [e for e in events if not isinstance(e.event, Inactive)]
    last = runner.state.last_event_id
    return [[e for e in queued if e.id <= last], [e for e in queued if e.id > last]]


def _send(runner: SimulatedRunner, epoch: int) -> Script:
    outbox, runner.outbox = runner.outbox, []
    for trigger, operations in outbox:
        try:
            yield from patiently(Call("operations", WHO, (trigger, operations, epoch), POST_TIMEOUT_S))
        except Conflict as e:
            if "taken over" not in str(e):
                raise Violation(f"the answer to event {trigger} is refused: {e}") from e
            # An attach call that was under way for long has come after all: people start the runner again.
            runner.world.faults.happened["runner is fenced off by itself"] += 1
            raise Exit(3) from e
