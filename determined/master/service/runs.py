"""Runs of trials: what a launcher needs to start one, and what it reports back."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from determined.domain import facts
from determined.domain.config import ExperimentConfig
from determined.domain.ids import ExperimentId, UserId
from determined.domain.records import LogRecord, Run, User
from determined.errors import NotFound
from determined.launchers.entrypoint import command, python_words
from determined.launchers.protocol import LogLine, RunExit, RunSpec, Slot, SlotKind, Warm
from determined.master.service.commit import Commits, until_stored
from determined.master.service.contexts import Contexts
from determined.master.service.hub import Hub
from determined.master.service.lane import Lane, run_of
from determined.storage import protocol as db
from determined.storage.protocol import Store
from determined.wire.logs import parse_line
from determined.wire.trial_env import RunFacts, environment, info_files


class Mint(Protocol):
    """Knows users, and makes the tokens of a run."""

    async def user(self, user_id: UserId) -> User:
        """The user with that id.

        Raises:
            NotFound: there is none.
        """

    def mint_run_token(self, allocation_id: str) -> str:
        """Reaches that run's trial only, while the run lives."""

    def mint_user_token(self, user: User, allocation_id: str) -> str:
        """Acts as the user, while the run lives."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this master is, and where trials reach it.

    Attributes:
        cert_file: PEM file that trials check ``url`` against; None for what the system trusts.
        cert_name: name that they expect in its certificate, if it is not that of ``url``.
    """

    master_id: str
    cluster_id: str
    url: str
    cert_file: str | None = None
    cert_name: str | None = None


@dataclass(frozen=True, slots=True)
class _Shared:
    """What all runs of an experiment have in common, as long as its configuration is ``text``."""

    text: str
    config: dict[str, Any]
    variables: dict[str, str]
    argv: tuple[str, ...]
    context: Path | None
    warm: Warm | None


class RunSpecs:
    """Makes complete orders for the launcher."""

    def __init__(self, store: Store, contexts: Contexts, mint: Mint, identity: Identity, slots: Sequence[Slot]) -> None:
        self._shared: dict[ExperimentId, _Shared] = {}
        self.store = store
        self.contexts = contexts
        self.mint = mint
        self.identity = identity
        self.slots = {slot.id: slot for slot in slots}

    async def make(self, lane: Lane, run: Run, checkpoint: str | None, steps: int) -> RunSpec:
        """The order for one run.

        Raises:
            NotFound: the trial's checkpoint, owner or model definition is gone.
        """
        trial = lane.take_new_trial(run.trial_id) or await self.store.get_trial(run.trial_id)
        owner = await self.mint.user(lane.record.owner_id)
        shared = await self._shared_by_runs(lane)
        gpus = [self.slots[i].uuid for i in run.slot_ids if i in self.slots and self.slots[i].kind is SlotKind.CUDA]
        run_facts = RunFacts(
            experiment=lane.record,
            trial=trial,
            run=run,
            owner=owner,
            config=shared.config,
            master_url=self.identity.url,
            master_id=self.identity.master_id,
            cluster_id=self.identity.cluster_id,
            cert_file=self.identity.cert_file,
            cert_name=self.identity.cert_name,
            run_token=self.mint.mint_run_token(run.allocation_id),
            user_token=self.mint.mint_user_token(owner, run.allocation_id),
            checkpoint=checkpoint,
            steps=steps,
            gpu_uuids=tuple(gpus),
            debug=lane.config.debug,
        )
        return RunSpec(
            allocation_id=run.allocation_id,
            argv=shared.argv,
            env={**shared.variables, **environment(run_facts)},
            context=shared.context,
            slot_ids=run.slot_ids,
            info_files=info_files(run_facts),
            warm=shared.warm,
        )

    async def _shared_by_runs(self, lane: Lane) -> _Shared:
        found = self._shared.get(lane.id)
        if found is not None and found.text == lane.record.config:
            return found
        config, text = lane.config, lane.record.config
        context = self.contexts.path(lane.record.context) if lane.record.context else None
        if context is not None and not await asyncio.to_thread(context.exists):
            raise NotFound(f"the model definition of experiment {lane.id} is missing: {context}")
        made = _Shared(
            text=text,
            config=json.loads(text),
            variables={k: v for k, v in config.environment_variables if not k.startswith("DET_")},
            argv=argv_of(config.entrypoint),
            context=context,
            warm=warm_of(config),
        )
        self._shared.pop(lane.id, None)
        while len(self._shared) >= _EXPERIMENTS_REMEMBERED:
            del self._shared[next(iter(self._shared))]
        self._shared[lane.id] = made
        return made


_EXPERIMENTS_REMEMBERED = 64
PRELUDE = (
    "determined.exec.launch",
    "determined.core",
    "determined.core._master",
    "determined.exec.rehearsal",
    "determined.core._retry",
    "determined.core._storage",
    "determined.core._storage_config",
    "determined.core._tensorboard",
    "urllib3",
    "urllib.request",
    "faulthandler",
    "tempfile",
)
"""What runs load beside their programs; the Core API loads much of it only when it is used."""
_PRELUDES = {"s3": ("determined.core._remote_storage", "s3fs")}
"""What runs load with one kind of checkpoint storage; the libraries of other stores may start threads."""


def warm_of(config: ExperimentConfig) -> Warm | None:
    """How the runs of an experiment may be forked; None when they may not, or are no Python programs."""
    environ = {**os.environ, "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))}
    if not config.environment.warm_start or not config.entrypoint:
        return None
    words = python_words(command(config.entrypoint), environ)
    more = _PRELUDES.get(config.checkpoint_storage.kind, ())
    return None if words is None else Warm(words, config.environment.preload, (*PRELUDE, *more))


def argv_of(entrypoint: str | tuple[str, ...]) -> tuple[str, ...]:
    """The command that prepares a run and then becomes the entrypoint."""
    words = (entrypoint,) if isinstance(entrypoint, str) else entrypoint
    return (sys.executable, "-m", "determined.exec.launch", *words)


class LauncherNews:
    """Makes a launcher's reports durable; the ``LauncherListener`` of the master."""

    def __init__(self, commits: Commits, hub: Hub, clock: Callable[[], float]) -> None:
        self.commits = commits
        self.hub = hub
        self.clock = clock

    async def on_running(self, allocation_id: str) -> None:
        """Nothing to record: a run counts as running once it has passed the start line."""

    async def on_logs(self, allocation_id: str, first: int, lines: Sequence[LogLine]) -> None:
        """Store lines that are not known yet."""

        async def store() -> None:
            key = self.commits.live.get(allocation_id)
            lane = None if key is None else await self.commits.lane(key.experiment_id)
            run = None if lane is None or key is None else run_of(lane, key.trial_id, key.run_id)
            if lane is None or run is None:
                return
            fresh = lines[max(run.lines - first, 0) :]
            if not fresh:
                return
            known = first + len(lines)
            records = tuple(_record(run, line) for line in fresh)
            logs = db.AppendLogs(records=records, allocation_id=allocation_id, lines_known=known)
            await self.commits.store.write([logs], lane=lane.id)
            current = run_of(lane, run.trial_id, run.run_id)
            if current is not None:
                lane.runs[run.trial_id] = msgspec.structs.replace(current, lines=known)
            self.hub.tell_of_log(run.experiment_id, run.trial_id)

        await until_stored(store, lambda: self.hub.closed)

    async def on_exit(self, allocation_id: str, end: RunExit) -> None:
        """Tell the engine how a run ended."""
        key = self.commits.live.get(allocation_id)
        if key is None:
            return
        await self.commits.persist(
            key.experiment_id,
            lambda: facts.RunExited(
                at=self.clock(), trial_id=key.trial_id, run_id=key.run_id, code=end.code, reason=end.reason
            ),
        )


def _record(run: Run, line: LogLine) -> LogRecord:
    rank, level, text = parse_line(line.text)
    return LogRecord(
        trial_id=run.trial_id,
        run_id=run.run_id,
        allocation_id=run.allocation_id,
        at=line.at,
        text=text,
        level=level,
        rank=rank,
        stdtype=line.stdtype,
        source="trial",
        agent_id=run.agent,
        container_id=run.allocation_id,
    )
