"""What people change about experiments that exist: names, policies, archive, deletion, checkpoint collection."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from determined.domain.ids import ExperimentId
from determined.domain.records import Experiment
from determined.domain.states import (
    EXPERIMENT_TRANSITIONS,
    CheckpointState,
    ExperimentState,
    check_transition,
)
from determined.engine.retention import Candidate, Policy, doomed
from determined.errors import DeterminedError, FailedPrecondition, InvalidInput, NotFound
from determined.launchers.protocol import Launcher
from determined.master.service.checkpoint_files import AT_ONCE, collect_unfinished, delete_files, is_local
from determined.master.service.commit import Commits
from determined.master.service.loading import config_of
from determined.steps import step
from determined.storage import protocol as db
from determined.storage.protocol import CheckpointView, Order, Page, Store

log = logging.getLogger("determined.master")

_PLAIN = ("name", "description", "labels", "notes")
_RESOURCES = ("max_slots", "weight", "priority")
_POLICY = ("save_experiment_best", "save_trial_best", "save_trial_latest")


class Admin:
    """Changes that no search method sees."""

    def __init__(self, commits: Commits, store: Store, launcher: Launcher, cluster_id: str) -> None:
        self.commits = commits
        self.store = store
        self.launcher = launcher
        self.cluster_id = cluster_id

    async def patch(self, experiment_id: ExperimentId, changes: Mapping[str, Any]) -> Experiment:
        """See ``Service.patch_experiment``."""
        record = await self.store.get_experiment(experiment_id)
        unknown = sorted(set(changes) - {*_PLAIN, *_RESOURCES, *_POLICY})
        if unknown:
            raise InvalidInput(f"experiments have no {', '.join(unknown)} that could be changed")
        if "name" in changes and not str(changes["name"]).strip():
            raise InvalidInput("the name of an experiment must not be blank")
        config = _patched(json.loads(record.config), changes)
        patch: dict[str, Any] = {key: changes[key] for key in _PLAIN if key in changes}
        patch["config"] = json.dumps(config)
        if record.state.is_terminal and any(key in changes for key in _POLICY):
            patch["uncollected"] = True
        fresh = msgspec.structs.replace(record, **_typed(patch))
        parsed = await asyncio.to_thread(config_of, fresh)
        await self.store.write([db.PatchExperiment(id=experiment_id, changes=_typed(patch))], lane=experiment_id)
        self.commits.edited(experiment_id)
        lane = await self.commits.lane(experiment_id)
        if lane is not None:
            lane.record, lane.config = msgspec.structs.replace(lane.record, **_typed(patch)), parsed
        elif any(key in changes for key in _POLICY):
            await self.collect(experiment_id)
        return await self.store.get_experiment(experiment_id)

    async def archive(self, experiment_id: ExperimentId, archived: bool) -> None:
        """See ``Service.archive``."""
        record = await self.store.get_experiment(experiment_id)
        if not record.state.is_terminal:
            verb = "archived" if archived else "unarchived"
            raise FailedPrecondition(
                f"experiment {experiment_id} is {record.state.value} and cannot be {verb}; wait for its end, or kill it"
            )
        if record.archived != archived:
            await self.store.write([db.PatchExperiment(id=experiment_id, changes={"archived": archived})])
            self.commits.edited(experiment_id)

    # Checkpoints

    async def preview(self, experiment_id: ExperimentId, policy: Policy) -> list[CheckpointView]:
        """What a policy would delete."""
        record = await self.store.get_experiment(experiment_id)
        views = (
            await self.store.list_checkpoints(experiment_id, None, (CheckpointState.COMPLETED,), Order("UUID"), Page())
        ).rows
        needed = await self.store.warm_starts([v.checkpoint.uuid for v in views])
        candidates = [_candidate(v) for v in views]
        gone = set(doomed(candidates, policy, record.smaller_is_better, needed))
        return [v for v in views if v.checkpoint.uuid in gone]

    async def collect(self, experiment_id: ExperimentId) -> None:
        """Delete the checkpoints that the experiment's policy does not keep; it must be over.

        Done again after a start of the master that finds it unfinished, so files of checkpoints that were marked as
        deleted before are looked for too.
        """
        record = await self.store.get_experiment(experiment_id)
        storage = json.loads(record.config)["checkpoint_storage"]
        policy = Policy(*(storage[key] for key in _POLICY))
        marked = await self.store.list_checkpoints(
            experiment_id, None, (CheckpointState.DELETED,), Order("UUID"), Page()
        )
        is_done = await self._delete_files(storage, _uuids(marked.rows))
        is_done &= await self._delete(storage, _uuids(await self.preview(experiment_id, policy)))
        is_done &= await self._collect_unfinished(experiment_id, storage)
        self.commits.edited(experiment_id)
        if is_done:
            # It may have been deleted meanwhile, which is what was wanted of it.
            with contextlib.suppress(NotFound):
                await self.store.write([db.PatchExperiment(id=experiment_id, changes={"uncollected": False})])
        step("master.collected")

    async def delete_checkpoints(self, uuids: Sequence[str]) -> None:
        """See ``Service.delete_checkpoints``."""
        views = [await self.store.get_checkpoint(u) for u in uuids]
        by_experiment: dict[ExperimentId, list[str]] = {}
        for view in views:
            lane = await self.commits.lane(view.checkpoint.experiment_id)
            trial = None if lane is None else lane.engine.trials.get(view.checkpoint.trial_id)
            if trial is not None and view.checkpoint.uuid in (trial.checkpoint, trial.warm_start):
                raise FailedPrecondition(
                    f"checkpoint {view.checkpoint.uuid} is what trial {trial.id} would resume from; end the trial first"
                )
            by_experiment.setdefault(view.checkpoint.experiment_id, []).append(view.checkpoint.uuid)
        for experiment_id, doomed_uuids in by_experiment.items():
            record = await self.store.get_experiment(experiment_id)
            # One that goes on looks for files of deleted checkpoints at its end; one that is over has to be told.
            tells = record.state.is_terminal and not record.uncollected
            if tells:
                await self.store.write([db.PatchExperiment(id=experiment_id, changes={"uncollected": True})])
            is_done = await self._delete(json.loads(record.config)["checkpoint_storage"], doomed_uuids)
            self.commits.edited(experiment_id)
            if tells and is_done:
                with contextlib.suppress(NotFound):
                    await self.store.write([db.PatchExperiment(id=experiment_id, changes={"uncollected": False})])

    async def _delete(self, storage: Mapping[str, Any], uuids: Sequence[str]) -> bool:
        """Whether all files are gone."""
        for batch in _batches(storage, uuids):
            # Marked first: nobody may start from a checkpoint whose files are going.
            await self.store.write([db.SetCheckpointState(uuid=u, state=CheckpointState.DELETED) for u in batch])
        return await self._delete_files(storage, uuids)

    @staticmethod
    async def _delete_files(storage: Mapping[str, Any], uuids: Sequence[str]) -> bool:
        is_done = True
        for batch in _batches(storage, uuids):
            try:
                step("master.collect.before")
                await asyncio.to_thread(delete_files, storage, batch)
                step("master.collect.after")
            except (OSError, DeterminedError) as e:
                log.warning("the files of checkpoint %s could not be deleted: %s", ", ".join(batch), e)
                is_done = False
        return is_done

    async def _collect_unfinished(self, experiment_id: ExperimentId, storage: Mapping[str, Any]) -> bool:
        if is_local(storage):
            return True
        known = await self.store.list_checkpoints(experiment_id, None, (), Order("UUID"), Page())
        experiment = f"{self.cluster_id}/{experiment_id}"
        try:
            await asyncio.to_thread(collect_unfinished, storage, experiment, frozenset(_uuids(known.rows)))
        except (OSError, DeterminedError) as e:
            log.warning("unfinished uploads of experiment %d could not be deleted: %s", experiment_id, e)
            return False
        return True

    # Deletion

    async def begin_delete(self, experiment_id: ExperimentId) -> None:
        """Mark an experiment as going; ``finish_delete`` does the work."""
        record = await self.store.get_experiment(experiment_id)
        check_transition(
            EXPERIMENT_TRANSITIONS,
            "experiment",
            experiment_id,
            record.state,
            ExperimentState.DELETING,
            "wait for its end, or kill it first",
        )
        await self.store.write([db.PatchExperiment(id=experiment_id, changes={"state": ExperimentState.DELETING})])
        self.commits.edited(experiment_id)

    async def finish_delete(self, experiment_id: ExperimentId) -> None:
        """Delete checkpoints, what runs left on disk, and every row."""
        try:
            record = await self.store.get_experiment(experiment_id)
            storage = json.loads(record.config)["checkpoint_storage"]
            views = await self.store.list_checkpoints(experiment_id, None, (), Order("UUID"), Page())
            left = [v for v in views.rows if v.checkpoint.state is not CheckpointState.DELETED or record.uncollected]
            for batch in _batches(storage, _uuids(left)):
                await asyncio.to_thread(delete_files, storage, batch)
            await asyncio.to_thread(collect_unfinished, storage, f"{self.cluster_id}/{experiment_id}", ())
            for trial_id in await self.store.trial_ids(experiment_id):
                for run in await self.store.list_runs(trial_id):  # type: ignore[arg-type]
                    await self.launcher.remove(run.allocation_id)
            await self.store.write([db.DeleteExperiment(id=experiment_id)])
            self.commits.edited(experiment_id)
        except (OSError, DeterminedError) as e:
            log.warning("experiment %d could not be deleted: %s", experiment_id, e)
            changes = {"state": ExperimentState.DELETE_FAILED}
            await self.store.write([db.PatchExperiment(id=experiment_id, changes=changes)])
            self.commits.edited(experiment_id)


def _uuids(views: Sequence[CheckpointView]) -> list[str]:
    return [view.checkpoint.uuid for view in views]


def _batches(storage: Mapping[str, Any], uuids: Sequence[str]) -> list[Sequence[str]]:
    """Checkpoints that are deleted together: of an object store many, since each request takes its time."""
    size = 1 if is_local(storage) else AT_ONCE
    return [uuids[i : i + size] for i in range(0, len(uuids), size)]


def _candidate(view: CheckpointView) -> Candidate:
    c = view.checkpoint
    metric = None if view.validation is None else view.validation.searcher_metric
    return Candidate(c.uuid, c.trial_id, c.steps, c.reported_at, metric)


def _patched(config: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The complete configuration with the changes in it."""
    for key in ("name", "description"):
        if key in changes:
            config[key] = changes[key]
    if "labels" in changes:
        config["labels"] = list(changes["labels"])
    for key in _RESOURCES:
        if key in changes:
            config.setdefault("resources", {})[key] = changes[key]
    for key in _POLICY:
        if key in changes:
            config["checkpoint_storage"][key] = changes[key]
    return config


def _typed(patch: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if k == "labels" else v for k, v in patch.items()}
