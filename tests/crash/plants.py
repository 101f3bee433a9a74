"""Bugs to plant, so that the crash tests can show that they would notice them. Each breaks one thing that must hold."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from determined.domain import facts
from determined.domain.events import TrialProgress
from determined.domain.operations import Operation
from determined.engine import effects as fx
from determined.engine import experiment as engine_module
from determined.engine import operations, snapshot
from determined.engine.core import Core
from determined.engine.experiment import Experiment
from determined.launchers.local import LocalLauncher
from determined.master.service import rows
from determined.master.service.admin import Admin
from determined.master.service.commit import Commits
from determined.master.service.service import MasterService
from determined.master.service.submit import Submissions
from determined.searcher.folder import SearcherFolder
from tests.crash.shim_steps import DIES_WITH_PARENT


def answer_before_the_commit() -> None:
    """A request is answered as soon as the engine has decided; the unit is on its way to the disk."""

    async def commit(self: Commits, lane: Any, fact: Any, extra: Any = (), before: Any = ()) -> None:
        self.submit(lane, fact, extra, before)

    Commits.commit = commit  # type: ignore[method-assign]


def forget_names_of_reports() -> None:
    """A report of progress that is sent again is a new one."""

    def on_progress(engine: Core, fact: facts.ProgressReported) -> None:
        trial, _ = engine.current_run(fact.trial_id, fact.run_id)
        engine.out.rest.append(fx.TrialAdvanced(trial.id, fact.units))
        engine.enqueue(TrialProgress(trial.request_id, fact.units))

    engine_module._HANDLERS[facts.ProgressReported] = on_progress


def apply_repeated_answers() -> None:
    """Operations that were applied, and whose answer was lost, are applied once more."""

    def check(engine: Core, trigger: int) -> None:
        engine.answered = min(engine.answered, trigger - 1)

    def anything_goes(engine: Core, operations: Sequence[Operation]) -> None:
        return

    operations._check_trigger = check
    operations._check_batch = anything_goes


def start_runs_anew() -> None:
    """A restarted master does not look for the processes that it had started."""

    async def adopt(self: LocalLauncher, allocation_id: str, lines_known: int) -> bool:
        return False

    LocalLauncher.adopt = adopt  # type: ignore[method-assign]


def ignore_the_client_key() -> None:
    """Every submission is a new experiment."""
    real = Submissions._submit

    async def submit(self: Submissions, user: Any, submission: Any) -> Any:
        return await real(self, user, type(submission)(**{**_fields(submission), "client_key": ""}))

    Submissions._submit = submit  # type: ignore[method-assign]


def _fields(value: Any) -> dict[str, Any]:
    names = getattr(value, "__dataclass_fields__", None) or value.__struct_fields__
    return {name: getattr(value, name) for name in names}


def make_a_new_key_each_time() -> None:
    """The runner does not keep the intent that it wrote."""
    real = SearcherFolder.decide

    def decide(self: SearcherFolder, cluster_id: str, master_url: str) -> Any:
        (self.path / "intent.json").unlink(missing_ok=True)
        return real(self, cluster_id, master_url)

    SearcherFolder.decide = decide  # type: ignore[method-assign]


def leave_collections_unfinished() -> None:
    """What a dead master had begun to collect stays."""
    real = MasterService.start

    async def start(self: MasterService) -> None:
        list_unfinished = self.store.list_unfinished

        async def live() -> Any:
            return [record for record in await list_unfinished() if not record.state.is_terminal]

        self.store.list_unfinished = live  # type: ignore[method-assign]
        await real(self)

    MasterService.start = start  # type: ignore[method-assign]


def snapshot_without_trials() -> None:
    """Snapshots come often, and hold the experiment but not its trials."""
    rows.SNAPSHOT_EVERY = 4
    real = snapshot.take

    def take(engine: Experiment) -> dict[str, bytes]:
        return {name: part for name, part in real(engine).items() if name == snapshot.HEAD}

    snapshot.take = take


def reuse_event_ids() -> None:
    """After a restart, ids of events are counted from the newest unanswered one."""
    real = snapshot.restore

    def restore(settings: Any, parts: Any, facts: Any = ()) -> Any:
        engine = real(settings, parts, facts)
        engine.last_event = max(engine.answered, engine.last_event - 1)
        return engine

    snapshot.restore = restore


def runs_end_with_the_master() -> None:
    """A run dies with the process that forked it, as it would if it wrote into a pipe of the master's."""
    os.environ[DIES_WITH_PARENT] = "1"


def collect_everything() -> None:
    """The collection at the end takes the checkpoints that the policy keeps as well."""

    async def preview(self: Admin, experiment_id: Any, policy: Any) -> Any:
        await asyncio.sleep(0)
        from determined.domain.states import CheckpointState
        from determined.storage.protocol import Order, Page

        completed = (CheckpointState.COMPLETED,)
        return list((await self.store.list_checkpoints(experiment_id, None, completed, Order("UUID"), Page())).rows)

    Admin.preview = preview  # type: ignore[method-assign]


PLANTS: Mapping[str, Callable[[], None]] = {
    plant.__name__: plant
    for plant in (
        answer_before_the_commit,
        forget_names_of_reports,
        apply_repeated_answers,
        start_runs_anew,
        ignore_the_client_key,
        make_a_new_key_each_time,
        leave_collections_unfinished,
        snapshot_without_trials,
        reuse_event_ids,
        runs_end_with_the_master,
        collect_everything,
    )
}
