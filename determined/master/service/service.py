"""The service as a whole: everything the API may ask, and start and stop of the parts behind it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any

from determined.domain import facts
from determined.domain.facts import Verb
from determined.domain.ids import ExperimentId, TrialId
from determined.domain.operations import Create, Operation
from determined.domain.records import Experiment, LogRecord, Run, Trial, User
from determined.domain.states import CheckpointState, ExperimentState, RunPhase
from determined.engine import effects as fx
from determined.engine.experiment import AlreadyAnswered
from determined.engine.slots import SlotPool
from determined.errors import Conflict, FailedPrecondition, InvalidOperations, NotFound
from determined.launchers.protocol import ClusterLauncher, Launcher, Slot
from determined.master.service.admin import Admin
from determined.master.service.ahead import Ahead
from determined.master.service.commit import Commits
from determined.master.service.contexts import Contexts
from determined.master.service.dispatch import Dispatcher
from determined.master.service.hub import MACHINES, Hub
from determined.master.service.lane import Lane
from determined.master.service.loading import load_lane
from determined.master.service.meetings import Meetings
from determined.master.service.ports import (
    AllocationView,
    EventsAnswer,
    MachineView,
    Meeting,
    NextOperation,
    RunKey,
    SlotView,
    Submission,
    Submitted,
)
from determined.master.service.reports import Reports
from determined.master.service.runs import Identity, LauncherNews, Mint, RunSpecs
from determined.master.service.searches import Searches, kept_words
from determined.master.service.submit import Submissions
from determined.master.service.views import Views
from determined.master.service.waits import Waits
from determined.master.ui.broadcast import Broadcast
from determined.master.ui.feed import Feed
from determined.storage import protocol as db
from determined.storage.protocol import LogFilter, Store
from determined.wire.searcher import operations_digest

log = logging.getLogger("determined.master")


class MasterService:
    """Implements ``ports.Service``. One per process, used from one event loop."""

    def __init__(
        self,
        store: Store,
        launcher: Launcher,
        contexts: Contexts,
        mint: Mint,
        identity: Identity,
        checkpoint_storage: Mapping[str, Any],
        clock: Callable[[], float] = time.time,
        warm_trials: bool = True,
    ) -> None:
        self.store = store
        self.launcher = launcher
        self.contexts = contexts
        self.clock = clock
        self.hub = Hub()
        self.pool = SlotPool(slot.id for slot in launcher.slots())
        self.commits = Commits(store, self.hub)
        specs = RunSpecs(store, contexts, mint, identity, launcher.slots())
        self.dispatcher = Dispatcher(self.commits, self.hub, launcher, specs, clock, self.pool)
        self.searches = Searches(self.commits, store, self.hub, clock)
        self.submissions = Submissions(
            self.commits, store, contexts, checkpoint_storage, self.pool.size, clock, warm_trials
        )
        is_crowded = launcher.is_crowded if isinstance(launcher, ClusterLauncher) else lambda: False
        self.waits = Waits(self.commits, store, self.hub, self.pool, is_crowded)
        self.reports = Reports(self.commits, clock)
        self.meetings = Meetings(self.commits, self.hub, launcher)
        self.views = Views(self.commits, store, self.hub, self.pool)
        self.admin = Admin(self.commits, store, launcher, identity.cluster_id)
        self.feed = Feed(self.commits, store)
        self.broadcast = Broadcast(self.feed, self.hub)

    # Life

    async def start(self) -> None:
        """Recover everything that is not over; the same path at every start, safe to be interrupted and repeated."""
        self.commits.on_effect(self.dispatcher.perform)
        self.commits.on_reloaded(self.dispatcher.forget_unknown)
        self.commits.on_submitted(Ahead(self.searches, self.dispatcher).look)
        if isinstance(self.launcher, ClusterLauncher):
            self.launcher.when_machines_change(lambda: self.hub.tell(MACHINES))
        self.dispatcher.on_ended = self._on_ended
        experiment_id, trial_id, _ = await self.store.next_ids()
        self.submissions.next_experiment = ExperimentId(experiment_id)
        self.commits.next_trial = TrialId(trial_id)
        await self.launcher.open(LauncherNews(self.commits, self.hub, self.clock))
        lanes = []
        for record in await self.store.list_unfinished():
            if record.state is ExperimentState.DELETING:
                self.dispatcher.spawn(self.admin.finish_delete(record.id))
                continue
            if record.state.is_terminal:
                self.dispatcher.spawn(self.admin.collect(record.id))
                continue
            lane = await load_lane(self.store, record)
            self.commits.add(lane)
            lanes.append(lane)
        # Slots of live runs first, over all experiments, or another's waiting run could be given them.
        for lane in lanes:
            self._resume(lane)
        if isinstance(self.launcher, ClusterLauncher):
            self.dispatcher.spawn(self.launcher.settle(frozenset(self.commits.live)))

    def _resume(self, lane: Lane) -> None:
        effects = lane.engine.resume(self.clock())
        for effect in sorted(effects, key=lambda e: not isinstance(e, fx.RunFound)):
            self.dispatcher.perform(lane, effect)
        if not lane.is_custom:
            self.dispatcher.spawn(self.searches.run(lane.id))

    async def stop(self) -> None:
        """Stop serving; live runs go on and are taken up at the next start."""
        self.hub.close()
        self.broadcast.close()
        self.feed.close()
        await self.launcher.close()
        await self.dispatcher.close()

    async def _on_ended(self, lane: Lane, effect: fx.ExperimentEnded) -> None:
        await self.admin.collect(lane.id)

    def tell_of_logs(self, runs: Iterable[Run]) -> None:
        """Wake those who follow the logs of these runs."""
        for experiment_id, trial_id in {(run.experiment_id, run.trial_id) for run in runs}:
            self.hub.tell_of_log(experiment_id, trial_id)

    # Experiments

    async def submit(self, user: User, submission: Submission) -> Submitted:
        """Create an experiment, or check that it could be."""
        submitted = await self.submissions.submit(user, submission)
        record = submitted.experiment
        if submitted.is_new and record is not None and record.searcher_type != "custom":
            self.dispatcher.spawn(self.searches.run(record.id))
        return submitted

    async def command(self, experiment_id: ExperimentId, verb: Verb) -> None:
        """Pause, activate, cancel or kill."""
        lane = await self.commits.lane(experiment_id)
        if lane is None:
            record = await self.store.get_experiment(experiment_id)
            if verb in (Verb.PAUSE, Verb.ACTIVATE):
                raise FailedPrecondition(
                    f"experiment {experiment_id} is {record.state.value} and cannot be {verb.value}d; "
                    "to search again, create another one: `det e config` prints its configuration and "
                    "`det e download-model-def` saves its files"
                )
            return
        await self.commits.commit(lane, facts.ExperimentCommanded(at=self.clock(), verb=verb))

    async def patch_experiment(self, experiment_id: ExperimentId, changes: Mapping[str, Any]) -> Experiment:
        """Change what people may change."""
        record = await self.admin.patch(experiment_id, changes)
        lane = await self.commits.lane(experiment_id)
        if lane is not None:
            self.dispatcher.set_share(lane)
            if "priority" in changes:
                self.pool.set_priority(experiment_id, self.dispatcher.priority(lane))
            self.dispatcher.grant_soon()
            # Whoever was told of the edit may have looked at the queue before it was in there.
            self.commits.edited(experiment_id)
        return record

    async def archive(self, experiment_id: ExperimentId, archived: bool) -> None:
        """Hide a finished experiment from lists, or show it again."""
        await self.admin.archive(experiment_id, archived)

    async def delete_experiment(self, experiment_id: ExperimentId) -> None:
        """Begin to delete a finished experiment."""
        await self.admin.begin_delete(experiment_id)
        self.dispatcher.spawn(self.admin.finish_delete(experiment_id))

    async def model_definition(self, experiment_id: ExperimentId) -> bytes:
        """The model definition as a gzipped tar."""
        record = await self.store.get_experiment(experiment_id)
        if not record.context:
            raise NotFound(f"experiment {experiment_id} has no model definition")
        return await asyncio.to_thread(self.contexts.get, record.context)

    # Custom search

    async def attach(self, experiment_id: ExperimentId, runner: str = "") -> int:
        """Let a search runner take over; those before it are fenced off. The newest one may say so again."""
        lane = await self.commits.lane(experiment_id)
        record = await self.store.get_experiment(experiment_id)
        if record.searcher_type != "custom":
            raise FailedPrecondition(
                f"experiment {experiment_id} has the searcher {record.searcher_type!r}, not custom"
            )
        is_newest = lane is not None and runner != "" and lane.runner == runner
        # Written again when it is said again: the first time may still be on its way to the disk.
        epoch = (record.epoch if lane is None else lane.epoch) + (0 if is_newest else 1)
        if lane is not None:
            lane.epoch, lane.runner = epoch, runner
        await self.store.write([db.PatchExperiment(id=experiment_id, changes={"epoch": epoch})], lane=experiment_id)
        return epoch

    async def fetch_events(self, experiment_id: ExperimentId) -> EventsAnswer:
        """The queue, or why there is none; waits for news."""
        return await self.waits.events(experiment_id)

    async def post_operations(
        self,
        experiment_id: ExperimentId,
        operations: Sequence[Operation],
        trigger: int | None,
        epoch: int | None,
        summary: bytes | None = None,
    ) -> None:
        """Apply a batch, all or nothing, once; ``summary`` is kept with it."""
        lane = await self.commits.lane(experiment_id)
        if lane is None:
            record = await self.store.get_experiment(experiment_id)
            if record.searcher_type != "custom":
                raise FailedPrecondition(f"experiment {experiment_id} has the searcher {record.searcher_type!r}")
            return
        if not lane.is_custom:
            raise FailedPrecondition(
                f"experiment {experiment_id} has the searcher {lane.record.searcher_type!r}, "
                "which the master runs itself"
            )
        if epoch is not None and epoch != lane.epoch:
            raise Conflict(
                f"another search runner has taken over experiment {experiment_id} "
                f"(epoch {lane.epoch}, yours is {epoch}); stop this one"
            )
        await self._check_sources(operations)
        digest = operations_digest(operations)
        fact = facts.OperationsPosted(
            at=self.clock(),
            operations=tuple(operations),
            trigger=trigger,
            first_trial_id=self.commits.next_trial,
            digest=digest,
        )
        try:
            await self.commits.commit(lane, fact, [] if summary is None else [kept_words(experiment_id, summary)])
        except AlreadyAnswered:
            await self._check_replay(experiment_id, trigger or 0, digest, bool(operations))

    async def _check_sources(self, operations: Sequence[Operation]) -> None:
        for i, op in enumerate(operations):
            if not isinstance(op, Create) or op.checkpoint is None:
                continue
            try:
                view = await self.store.get_checkpoint(op.checkpoint)
            except NotFound:
                raise InvalidOperations(
                    f"operation {i}: checkpoint {op.checkpoint} does not exist; start from one that is registered"
                ) from None
            if view.checkpoint.state is not CheckpointState.COMPLETED:
                raise InvalidOperations(f"operation {i}: checkpoint {op.checkpoint} is {view.checkpoint.state.value}")

    async def _check_replay(self, experiment_id: ExperimentId, trigger: int, digest: str, says_something: bool) -> None:
        """A repeated answer is fine when it is the same; its first commit is waited for."""
        lane = await self.commits.lane(experiment_id)
        if lane is not None and lane.tail is not None and not lane.tail.done():
            await asyncio.shield(lane.tail)
        stored = await self.store.find_batch(experiment_id, trigger)
        if stored == digest or (stored is None and not says_something):
            return
        raise Conflict(
            f"event {trigger} of experiment {experiment_id} was answered with other operations; "
            "nothing was applied: reload the search method's state and go on from the queue"
        )

    # Trials

    async def kill_trial(self, trial_id: TrialId) -> None:
        """End one trial; the search goes on."""
        await self._tell_trial(facts.TrialKillRequested(at=self.clock(), trial_id=trial_id))

    async def cancel_trial(self, trial_id: TrialId) -> None:
        """Let one trial save and leave, for good; the search goes on."""
        await self._tell_trial(facts.TrialCancelRequested(at=self.clock(), trial_id=trial_id))

    async def _tell_trial(self, fact: facts.TrialKillRequested | facts.TrialCancelRequested) -> None:
        lane = await self.commits.lane_of_trial(fact.trial_id)
        if lane is None:
            # It is over, if it ever was.
            await self.store.get_trial(fact.trial_id)
            return
        await self.commits.commit(lane, fact)

    async def next_operation(self, run: RunKey) -> NextOperation:
        """The trial's current operation; held while the search decides."""
        return await self.waits.operation(run)

    async def report_progress(self, run: RunKey, units: float, report: str) -> None:
        """The trial has come this far."""
        await self.reports.progress(run, units, report)

    async def report_completed(self, run: RunKey, length: int, metric: Any) -> bool:
        """The trial completed its operation; whether that was its last one."""
        return await self.reports.completed(run, length, metric)

    async def report_invalid_hp(self, run: RunKey) -> None:
        """The trial's hyperparameters cannot be trained."""
        await self.reports.invalid_hp(run)

    async def report_metrics(
        self,
        run: RunKey,
        group: str,
        trial_run_id: int,
        steps: int,
        metrics: Mapping[str, Any],
        batch_metrics: Sequence[Any] | None,
    ) -> None:
        """A metric report."""
        await self.reports.metrics(run, group, trial_run_id, steps, metrics, batch_metrics)

    async def report_checkpoint(
        self, run: RunKey, uuid: str, task_id: str, resources: Mapping[str, int], metadata: Mapping[str, Any]
    ) -> None:
        """A checkpoint is complete."""
        await self.reports.checkpoint(run, uuid, task_id, resources, metadata)

    async def set_runner_state(self, run: RunKey, state: str) -> None:
        """What the script says it is doing."""
        await self.reports.runner_state(run, state)

    async def delete_checkpoints(self, uuids: Sequence[str]) -> None:
        """Delete checkpoints that nothing would resume from."""
        await self.admin.delete_checkpoints(uuids)

    # Allocations

    async def meet(self, run: RunKey, name: str) -> Meeting:
        """A member of the run is at the start line; returns when all are."""
        return await self.meetings.meet(run, name)

    async def run_seen(self, run: RunKey) -> None:
        """The run has passed the start line."""
        await self.reports.seen(run)

    async def preemption(self, run: RunKey, timeout_s: float) -> bool:
        """Whether the run should exit; waits for the signal."""
        return await self.waits.preemption(run, timeout_s)

    async def acknowledge_exit(self, run: RunKey) -> None:
        """The run will exit although work may be left."""
        await self.reports.acknowledge_exit(run)

    async def request_preemption(self, run: RunKey) -> None:
        """The platform is about to take the run's slots."""
        await self.reports.request_preemption(run)

    def live_run(self, allocation_id: str) -> RunKey | None:
        """The run of this name if it has a process now."""
        return self.commits.live.get(allocation_id)

    def allocations(self) -> Sequence[AllocationView]:
        """Runs that wait for slots or live, in the order of their trials."""
        return [view for lane in self.commits.lanes.values() for view in self._allocations_of(lane)]

    def _allocations_of(self, lane: Lane) -> list[AllocationView]:
        views = []
        for trial in lane.engine.trials.values():
            if trial.run is None:
                continue
            request = self.dispatcher.request(lane, trial.id, trial.run.run_id)
            run = lane.runs.get(trial.id)
            key = lane.run_key(trial.id) or RunKey(
                lane.id, trial.id, trial.run.run_id, f"{lane.id}.{trial.request_id}.{trial.run.run_id}"
            )
            views.append(
                AllocationView(
                    key=key,
                    slots=request.slots,
                    slot_ids=trial.run.slot_ids,
                    state=trial.run.phase.value,
                    registered_at=lane.record.created_at if run is None else run.granted_at,
                    waiting_for=self.pool.explain(trial.id, trial.run.run_id),
                    priority=request.priority,
                )
            )
        return views

    async def machines(self) -> Sequence[MachineView]:
        """Machines that are there now, and who holds their slots."""
        if not isinstance(self.launcher, ClusterLauncher):
            return [MachineView(self.launcher.name, ("127.0.0.1",), self._slots())]
        return [
            MachineView(machine.id, machine.addresses, [_slot_view(slot, machine.held) for slot in machine.slots])
            for machine in await self.launcher.machines()
        ]

    def _slots(self) -> Sequence[SlotView]:
        holders: dict[int, str] = {}
        for lane in self.commits.lanes.values():
            for run in lane.runs.values():
                holders.update(dict.fromkeys(run.slot_ids, run.allocation_id))
        return [_slot_view(slot, holders) for slot in self.launcher.slots()]

    def experiment_wire_state(self, experiment: Experiment) -> str:
        """The state with what its most advanced run does in place of ACTIVE."""
        lane = self.commits.lanes.get(experiment.id)
        if experiment.state is not ExperimentState.ACTIVE or lane is None:
            return experiment.state.value
        best = RunPhase.QUEUED
        for trial_id in lane.runs:
            trial = lane.engine.trials.get(trial_id)
            if trial is None or trial.run is None:
                continue
            if trial.run.phase is RunPhase.RUNNING:
                return RunPhase.RUNNING.value
            best = trial.run.phase
        return best.value

    # Streams

    async def story(self, trial: Trial) -> list[str]:
        """The life of a trial in sentences."""
        return await self.views.story(trial)

    async def summary(self, experiment_id: ExperimentId) -> tuple[int | None, Mapping[str, Any] | None]:
        """Where a search stands in its method's words, and after which event it said so."""
        return await self.searches.summary(experiment_id)

    def follow_logs(self, trial_id: TrialId, where: LogFilter) -> AsyncIterator[Sequence[LogRecord]]:
        """A trial's log as it grows."""
        return self.views.follow_logs(trial_id, where)

    def watch(self, experiment_id: ExperimentId, follow: bool) -> AsyncIterator[Mapping[str, Any]]:
        """A search's progress as it changes."""
        return self.views.watch(experiment_id, follow)


def _slot_view(slot: Slot, holders: Mapping[int, str]) -> SlotView:
    return SlotView(slot.id, slot.kind.value, slot.name, slot.uuid, holders.get(slot.id))
