"""The real service of the master in the simulated world, between its network, its store and its launcher."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from determined.domain.ids import ExperimentId, RequestId, RunId, TrialId, UserId, allocation_id, task_id
from determined.domain.records import User
from determined.domain.states import ExperimentState
from determined.errors import DeterminedError, NotFound, StaleRun
from determined.master.service import runs
from determined.master.service.contexts import Contexts
from determined.master.service.ports import ContextFile, RunKey, Submission
from determined.master.service.service import MasterService
from determined.testing.store_factories import make_user
from determined.wire.searcher import Inactive, event_to_json, operations_from_json
from tests.simulation.disk import EXPERIMENT, demand
from tests.simulation.launcher import Key
from tests.simulation.loop import SimulatedLoop
from tests.simulation.network import Answer
from tests.simulation.processes import Call, Host
from tests.simulation.real_launcher import Adapter
from tests.simulation.real_store import OWNER, SimulatedStore

if TYPE_CHECKING:
    from tests.simulation.world import World

CONFIG = """
name: simulated
entrypoint: python train.py
max_restarts: {restarts}
searcher: {{name: custom, metric: loss, smaller_is_better: true}}
resources: {{slots_per_trial: {slots}}}
checkpoint_storage: {{type: shared_fs, host_path: {folder}, save_trial_latest: 1000}}
"""
TRAINING = ContextFile("train.py", b"pass", 0o644, 1)


class Mint:
    """Nobody looks at these."""

    async def user(self, user_id: UserId) -> User:
        return make_user(user_id)

    def mint_run_token(self, allocation_id: str) -> str:
        return f"run {allocation_id}"

    def mint_user_token(self, user: User, allocation_id: str) -> str:
        return f"user {allocation_id}"


class _Topics(dict[Any, Any]):
    """Listeners in the order in which they came; in sets, it would be another in each process."""

    def setdefault(self, topic: Any, default: Any = None) -> Any:
        return super().setdefault(topic, _Ordered())


class _Ordered(dict[Any, None]):
    def add(self, item: Any) -> None:
        self[item] = None

    def discard(self, item: Any) -> None:
        self.pop(item, None)


class RealMaster(Host):
    """One life of a process with the real service in it."""

    def __init__(self, world: World, store: SimulatedStore, folder: Path, number: int) -> None:
        super().__init__(world.clock, f"master {number}")
        self.world = world
        self.store = store
        self.folder = folder
        self.loop = SimulatedLoop(self)  # type: ignore[abstract]
        store.master = self
        store._closed_lanes.clear()

    def recover(self) -> None:
        self._ready = self.loop.start(self._start())

    async def _start(self) -> MasterService:
        who = runs.Identity(master_id="m", cluster_id="c", url="http://localhost:8080")
        storage = {"type": "shared_fs", "host_path": str(self.folder)}
        contexts = Contexts(self.folder / "contexts")
        service = MasterService(self.store, Adapter(self), contexts, Mint(), who, storage, clock=lambda: self.clock.now)
        service.hub.listeners = _Topics()
        await service.start()
        await self._create(service)
        return service

    async def _create(self, service: MasterService) -> None:
        """The experiment, unless it is there."""
        setup = self.world.setup
        config = CONFIG.format(restarts=setup.max_restarts, slots=setup.slots_per_trial, folder=self.folder)
        submission = Submission(config, [TRAINING], client_key="the search")
        submitted = await service.submit(OWNER, submission)
        assert submitted.experiment is not None
        demand(submitted.experiment.id == EXPERIMENT, f"experiment {submitted.experiment.id} is created as well")

    @property
    def units_on_their_way(self) -> int:
        return len(self.store.pending)

    def die(self, stored: int = 0) -> None:
        self.store.store_first(stored)
        super().die()
        self.loop.end()
        self.world.launcher.listener = None

    # Calls

    def receive(self, call: Call, answer: Answer) -> None:
        self.do(lambda: self.loop.start(self._answer(call, answer)))

    async def _answer(self, call: Call, answer: Answer) -> None:
        service = await asyncio.shield(self._ready)
        try:
            value = await self._handle(service, call)
        except DeterminedError as e:
            value = e
        if self.alive:
            answer(value)

    def key_of(self, about: Key) -> RunKey:
        trial_id, run_id = TrialId(about[0]), RunId(about[1])
        request_id: RequestId = uuid.UUID(self.world.disk.trials[trial_id].request_id)
        return RunKey(EXPERIMENT, trial_id, run_id, allocation_id(EXPERIMENT, request_id, run_id))

    async def _handle(self, service: MasterService, call: Call) -> Any:
        reply = _REPLIES.get(call.kind)
        if reply is not None:
            return await reply(service, call.body)
        # As the API does: the name of the run is in its token, which is good while the run lives.
        run = service.live_run(self.key_of(call.about).allocation_id)
        if run is None:
            raise StaleRun(f"run {call.about} does not live")
        return await _REPORTS[call.kind](service, run, call.body)


async def _events(service: MasterService, body: Any) -> list[Any]:
    found = await service.fetch_events(EXPERIMENT)
    if found.inactive_state is not None:
        return [event_to_json(-1, Inactive(ExperimentState(found.inactive_state)))]
    return [msgspec.json.decode(bytes(raw)) for raw in found.events]


async def _operations(service: MasterService, body: Any) -> None:
    trigger, wire, epoch = body
    await service.post_operations(EXPERIMENT, operations_from_json(wire), trigger, epoch)


async def _state(service: MasterService, body: Any) -> ExperimentState:
    try:
        return (await service.store.get_experiment(EXPERIMENT)).state
    except NotFound:
        return ExperimentState.ACTIVE


async def _operation(service: MasterService, run: RunKey, body: Any) -> int | None:
    found = await service.next_operation(run)
    return None if found.completed else found.length


async def _metrics(service: MasterService, run: RunKey, body: Any) -> None:
    group, steps, loss = body
    await service.report_metrics(run, group, run.run_id, steps, {"loss": loss}, None)


async def _checkpoint(service: MasterService, run: RunKey, body: Any) -> None:
    name, steps = body
    request_id = uuid.UUID(run.allocation_id.split(".")[1])
    task = task_id(ExperimentId(EXPERIMENT), request_id)
    await service.report_checkpoint(run, name, task, {"weights": 1}, {"steps_completed": steps})


_REPLIES: dict[str, Callable[[MasterService, Any], Coroutine[Any, Any, Any]]] = {
    "attach": lambda service, body: service.attach(EXPERIMENT),
    "events": _events,
    "operations": _operations,
    "command": lambda service, verb: service.command(EXPERIMENT, verb),
    "kill_trial": lambda service, trial_id: service.kill_trial(TrialId(trial_id)),
    "cancel_trial": lambda service, trial_id: service.cancel_trial(TrialId(trial_id)),
    "state": _state,
}
_REPORTS: dict[str, Callable[[MasterService, RunKey, Any], Coroutine[Any, Any, Any]]] = {
    "seen": lambda service, run, body: service.run_seen(run),
    "ack": lambda service, run, body: service.acknowledge_exit(run),
    "early_exit": lambda service, run, body: service.report_invalid_hp(run),
    "progress": lambda service, run, body: service.report_progress(run, *body),
    "completed": lambda service, run, body: service.report_completed(run, *body),
    "preempt_run": lambda service, run, body: service.request_preemption(run),
    "preemption": lambda service, run, body: service.preemption(run, body),
    "operation": _operation,
    "metrics": _metrics,
    "checkpoint": _checkpoint,
}
