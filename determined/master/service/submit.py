"""New experiments: check everything, store the files, then create in one unit."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from determined.common.objects.place import KINDS, missing_package
from determined.domain import facts
from determined.domain.config import ConfigDefaults, CustomSearch, ExperimentConfig, parse_config
from determined.domain.ids import ExperimentId, TrialId
from determined.domain.records import Experiment, User
from determined.domain.states import CheckpointState, ExperimentState
from determined.engine.experiment import Experiment as Engine
from determined.errors import Conflict, InvalidConfig, InvalidInput, NotFound, Problem
from determined.master.service.commit import Commits
from determined.master.service.contexts import Contexts, archive, check_files
from determined.master.service.lane import Lane
from determined.master.service.loading import settings_of
from determined.master.service.ports import Submission, Submitted
from determined.methods.registry import make_method
from determined.storage import protocol as db
from determined.storage.protocol import Order, Page, Store

DEFAULT_PROJECT = 1
MAX_CLIENT_KEY_CHARS = 128
ADJECTIVES = (
    "brave",
    "calm",
    "clever",
    "eager",
    "gentle",
    "jolly",
    "keen",
    "lively",
    "mellow",
    "proud",
    "quiet",
    "wise",
)
COLORS = ("amber", "azure", "coral", "green", "indigo", "ivory", "olive", "pearl", "ruby", "silver", "teal", "violet")
ANIMALS = (
    "badger",
    "beetle",
    "crane",
    "dolphin",
    "falcon",
    "gecko",
    "heron",
    "lynx",
    "otter",
    "panda",
    "robin",
    "seal",
)


def random_name() -> str:
    """A name for an experiment that was given none."""
    return f"Experiment ({'-'.join(secrets.choice(words) for words in (ADJECTIVES, COLORS, ANIMALS))})"


class Submissions:
    """Creates experiments."""

    def __init__(
        self,
        commits: Commits,
        store: Store,
        contexts: Contexts,
        checkpoint_storage: Mapping[str, Any],
        total_slots: int,
        clock: Callable[[], float],
        warm_trials: bool,
    ) -> None:
        self.commits = commits
        self.store = store
        self.contexts = contexts
        self.checkpoint_storage = checkpoint_storage
        self.total_slots = total_slots
        self.clock = clock
        self.warm_trials = warm_trials
        self.next_experiment = ExperimentId(1)
        self._by_key: dict[tuple[int, str], asyncio.Lock] = {}

    async def submit(self, user: User, submission: Submission) -> Submitted:
        """Check a submission and create its experiment; see ``Service.submit``."""
        key = submission.client_key
        if len(key) > MAX_CLIENT_KEY_CHARS:
            raise InvalidInput(f"clientKey has {len(key)} characters (allowed: {MAX_CLIENT_KEY_CHARS})")
        if not key:
            return await self._submit(user, submission)
        # Two requests with one key are handled one after the other, so that the second finds the first.
        lock = self._by_key.setdefault((user.id, key), asyncio.Lock())
        try:
            async with lock:
                return await self._submit(user, submission)
        finally:
            self._by_key.pop((user.id, key), None)

    async def _submit(self, user: User, submission: Submission) -> Submitted:
        parent = await self._parent(submission)
        check_files(submission.files)
        if not submission.files and parent is None:
            raise InvalidInput("the model definition is empty; send the files that the entrypoint needs")
        config = await asyncio.to_thread(self._parse, submission.config)
        warm_start = await self._warm_start(config)
        over = config.resources.slots_per_trial > self.total_slots
        if submission.validate_only:
            return Submitted(None, config.complete, config.warnings, over)
        digest = await asyncio.to_thread(_digest, submission)
        if submission.client_key:
            existing = await self.store.find_by_client_key(user.id, submission.client_key)
            if existing is not None:
                return self._again(existing, digest, config, over)
        data = await asyncio.to_thread(archive, submission.files) if submission.files else b""
        context = await asyncio.to_thread(self.contexts.put, data) if data else ""
        if not context and parent is not None:
            context = parent.context
        record = self._record(user, submission, config, context, digest, warm_start)
        await self._create(record, config, submission.activate)
        return Submitted(record, config.complete, config.warnings, over, is_new=True)

    def _parse(self, text: str) -> ExperimentConfig:
        defaults = ConfigDefaults(
            checkpoint_storage=self.checkpoint_storage,
            name=random_name(),
            seed=int(self.clock()) % 2**32,
            warm_start=self.warm_trials,
        )
        config = parse_config(text, defaults)
        if problem := missing_package(KINDS.get(config.checkpoint_storage.kind, "")):
            # Trials run with the Python of the master, which itself deletes what is not kept.
            kind = config.checkpoint_storage.kind
            raise InvalidConfig([Problem("checkpoint_storage.type", f"{kind} {problem}, where the master runs")])
        if config.searcher.name != CustomSearch.name:
            # What the method refuses is refused now, and not when the search is about to begin.
            make_method(config)
        return config

    async def _parent(self, submission: Submission) -> Experiment | None:
        if submission.template:
            raise InvalidInput(f"there is no template {submission.template!r}; templates are not supported")
        if submission.project_id not in (None, 0, DEFAULT_PROJECT):
            raise NotFound(f"project {submission.project_id} not found (there is one: {DEFAULT_PROJECT})")
        if not submission.parent_id:
            return None
        return await self.store.get_experiment(ExperimentId(submission.parent_id))

    async def _warm_start(self, config: ExperimentConfig) -> str | None:
        searcher = config.searcher
        if searcher.source_checkpoint_uuid is not None:
            view = await self.store.get_checkpoint(searcher.source_checkpoint_uuid)
            return view.checkpoint.uuid
        if searcher.source_trial_id is None:
            return None
        trial = await self.store.get_trial(TrialId(searcher.source_trial_id))
        newest = await self.store.list_checkpoints(
            None, trial.id, (CheckpointState.COMPLETED,), Order("BATCH_NUMBER", descending=True), Page(limit=1)
        )
        if not newest.rows:
            raise InvalidConfig(
                [Problem("searcher.source_trial_id", f"trial {trial.id} has no checkpoint; name one that has")]
            )
        uuid_: str = newest.rows[0].checkpoint.uuid
        return uuid_

    def _again(self, existing: Experiment, digest: str, config: ExperimentConfig, over: bool) -> Submitted:
        if existing.submission != digest:
            raise Conflict(
                f"clientKey {existing.client_key!r} belongs to experiment {existing.id}, which was submitted with "
                "another configuration or other files; use a new key for a new experiment"
            )
        return Submitted(existing, json.loads(existing.config), config.warnings, over)

    def _record(
        self,
        user: User,
        submission: Submission,
        config: ExperimentConfig,
        context: str,
        digest: str,
        warm_start: str | None,
    ) -> Experiment:
        experiment_id = self.next_experiment
        self.next_experiment = ExperimentId(experiment_id + 1)
        return Experiment(
            id=experiment_id,
            owner_id=user.id,
            name=config.name,
            description=config.description or "",
            labels=tuple(config.labels),
            state=ExperimentState.ACTIVE if submission.activate else ExperimentState.PAUSED,
            config=json.dumps(config.complete),
            original_config=submission.config,
            searcher_type=config.searcher.name,
            metric=config.searcher.metric,
            smaller_is_better=config.searcher.smaller_is_better,
            context=context,
            job_id=str(uuid.uuid4()),
            created_at=self.clock(),
            forked_from=submission.parent_id or None,
            client_key=submission.client_key,
            submission=digest,
            warm_start=warm_start,
        )

    async def _create(self, record: Experiment, config: ExperimentConfig, active: bool) -> None:
        engine = Engine(settings_of(record.id, config, record.warm_start))
        lane = Lane(record=record, config=config, engine=engine, seq=0)
        self.commits.add(lane)
        try:
            await self.commits.commit(
                lane,
                facts.ExperimentCreated(at=record.created_at, active=active),
                before=[db.InsertExperiment(experiment=record)],
            )
        except BaseException:
            # Not stored, so it never was; a cancelled wait is another matter: then the commit goes on.
            if lane.broken:
                self.commits.lanes.pop(record.id, None)
            raise


def _digest(submission: Submission) -> str:
    """Tells a repeated submission from another one under the same key.

    Times of files do not count: a script that writes its model definition anew before each try sends the same one.
    """
    hashes = sorted((f.path, f.mode, f.content and hashlib.sha256(f.content).hexdigest()) for f in submission.files)
    told = [submission.config, submission.parent_id, submission.project_id, submission.activate, hashes]
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()
