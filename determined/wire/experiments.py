"""Experiments on the wire."""

from __future__ import annotations

import base64
import binascii
import stat
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from determined.domain.records import Experiment, User
from determined.errors import InvalidContext, InvalidInput
from determined.wire.answers import NO_RAW, Answer, Pagination, raw
from determined.wire.requests import Id, Int32, Int64, ShortText
from determined.wire.times import to_text, to_text_or_none

PROJECT_ID: Final = 1
PROJECT_NAME: Final = "Uncategorized"
WORKSPACE_ID: Final = 1
WORKSPACE_NAME: Final = "Uncategorized"
SLOTS_EXCEEDED: Final = "LAUNCH_WARNING_CURRENT_SLOTS_EXCEEDED"

_FILE, _FOLDER = ord(b"0"), ord(b"5")


class FileJson(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One member of a model definition; ``type`` is a character of tar: 48 for a file, 53 for a folder."""

    path: str
    type: Int32 = _FILE
    content: str = ""
    mode: Int64 = 0o644
    mtime: Int64 = 0


class NewExperiment(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The request for a new experiment."""

    config: str = ""
    model_definition: list[FileJson] = []
    activate: bool = False
    validate_only: bool = False
    parent_id: Int32 = 0
    project_id: Int32 = 0
    template: str = ""
    client_key: Annotated[str, Meta(max_length=128)] = ""
    git_remote: ShortText | None = None
    git_commit: ShortText | None = None
    git_committer: ShortText | None = None
    git_commit_date: ShortText | None = None

    def check_git(self) -> None:
        """Refuse a part of what describes a commit.

        Raises:
            InvalidInput: some of the four are missing.
        """
        given = [self.git_remote, self.git_commit, self.git_committer, self.git_commit_date]
        if any(given) and not all(given):
            raise InvalidInput("give all of gitRemote, gitCommit, gitCommitter and gitCommitDate, or none of them")


def file_content(file: FileJson) -> bytes | None:
    """The bytes of a file; None for a folder.

    Raises:
        InvalidContext: it is neither, or its content is no base64.
    """
    if file.type == _FOLDER or (file.type not in (_FILE, _FOLDER) and stat.S_ISDIR(max(file.mode, 0))):
        return None
    if file.type != _FILE:
        raise InvalidContext(f"{file.path[:80]!a} has type {file.type} (allowed: {_FILE} file, {_FOLDER} folder)")
    try:
        return base64.b64decode(file.content, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidContext(f"the content of {file.path[:80]!a} is not base64") from None


class PatchResources(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Changes of what an experiment may use; ``maxSlots`` null lifts the limit."""

    max_slots: Annotated[int, Meta(ge=0, le=2**31 - 1)] | UnsetType | None = UNSET
    weight: Annotated[float, Meta(ge=0, le=1e9)] | UnsetType = UNSET
    priority: Annotated[int, Meta(ge=1, le=99)] | UnsetType = UNSET


Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class PatchStorage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Changes of which checkpoints are kept."""

    save_experiment_best: Count | UnsetType = UNSET
    save_trial_best: Count | UnsetType = UNSET
    save_trial_latest: Count | UnsetType = UNSET


class PatchExperiment(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Changes of an experiment; what is absent stays."""

    name: ShortText | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=65536)] | UnsetType = UNSET
    labels: Annotated[list[Annotated[str, Meta(max_length=256)]], Meta(max_length=1000)] | UnsetType = UNSET
    notes: Annotated[str, Meta(max_length=1 << 20)] | UnsetType = UNSET
    resources: PatchResources | UnsetType = UNSET
    checkpoint_storage: PatchStorage | UnsetType = UNSET

    def changes(self) -> dict[str, Any]:
        """The changes in one flat map, named as ``Service.patch_experiment`` wants them."""
        flat: dict[str, Any] = {}
        for part in (self, self.resources, self.checkpoint_storage):
            if isinstance(part, msgspec.Struct):
                named = ((name, getattr(part, name)) for name in part.__struct_fields__)
                flat.update({n: v for n, v in named if v is not UNSET and not isinstance(v, msgspec.Struct)})
        return flat


class BulkFilters(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which experiments a bulk request means beside those that it names."""

    name: str = ""
    description: str = ""
    labels: list[str] = []
    archived: bool | None = None
    states: list[str] = []
    user_ids: list[Int32] = []
    project_id: Int32 = 0
    excluded_experiment_ids: list[Int32] = []


class Bulk(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A request about several experiments."""

    experiment_ids: list[Id] = []
    filters: BulkFilters | None = None


class BulkResult(Answer, frozen=True, kw_only=True):
    """What came of a bulk request for one experiment; ``error`` "" for success."""

    id: int
    error: str = ""


class BulkResults(Answer, frozen=True, kw_only=True):
    """What came of a bulk request."""

    results: Sequence[BulkResult]


class ExperimentJson(Answer, frozen=True, kw_only=True):
    """An experiment."""

    id: int
    name: str
    state: str
    start_time: str
    archived: bool
    num_trials: int
    username: str
    job_id: str
    config: msgspec.Raw
    original_config: str
    searcher_type: str
    project_id: int = PROJECT_ID
    project_owner_id: int
    description: str = ""
    labels: Sequence[str] = ()
    notes: str = ""
    end_time: str | None = None
    progress: float | None = None
    resource_pool: str = ""
    user_id: int = 0
    display_name: str = ""
    forked_from: int | None = None
    parent_archived: bool | None = None
    project_name: str = PROJECT_NAME
    workspace_id: int = WORKSPACE_ID
    workspace_name: str = WORKSPACE_NAME
    trial_ids: Sequence[int] | UnsetType = UNSET
    checkpoint_count: int = 0
    checkpoint_size: str = "0"
    best_trial_id: int | None = None
    best_trial_searcher_metric: float | None = None
    message: str = ""


class JobSummary(Answer, frozen=True, kw_only=True):
    """Where an active experiment stands in the queue for slots."""

    state: str
    jobs_ahead: int = 0


class ExperimentAnswer(Answer, frozen=True, kw_only=True):
    """One experiment."""

    experiment: ExperimentJson
    job_summary: JobSummary | None = None


class PatchedExperiment(Answer, frozen=True, kw_only=True):
    """The experiment after a change."""

    experiment: ExperimentJson


class CreatedExperiment(Answer, frozen=True, kw_only=True):
    """The answer to a new experiment; ``configWarnings`` are sentences for people."""

    experiment: ExperimentJson
    config: msgspec.Raw
    warnings: Sequence[str] = ()
    config_warnings: Sequence[str] = ()


class ExperimentsAnswer(Answer, frozen=True, kw_only=True):
    """A page of experiments."""

    experiments: Sequence[ExperimentJson]
    pagination: Pagination


def experiment_json(
    e: Experiment,
    wire_state: str,
    owner: User | None,
    *,
    trial_ids: Sequence[int] | None = None,
    parent_archived: bool | None = None,
) -> ExperimentJson:
    """An experiment for clients.

    Args:
        wire_state: with its sub-state, without prefix.
        owner: None when the user is gone.
        trial_ids: only where one experiment is read.
    """
    return ExperimentJson(
        id=e.id,
        name=e.name,
        state=f"STATE_{wire_state}",
        start_time=to_text(e.created_at),
        archived=e.archived,
        num_trials=e.num_trials,
        username="" if owner is None else owner.username,
        job_id=e.job_id,
        config=raw(e.config),
        original_config=e.original_config,
        searcher_type=e.searcher_type,
        project_id=e.project_id,
        project_owner_id=e.owner_id,
        description=e.description,
        labels=e.labels,
        notes=e.notes,
        end_time=to_text_or_none(e.ended_at),
        progress=e.progress,
        resource_pool=e.resource_pool,
        user_id=e.owner_id,
        display_name="" if owner is None else owner.display_name,
        forked_from=e.forked_from,
        parent_archived=parent_archived,
        trial_ids=UNSET if trial_ids is None else trial_ids,
        checkpoint_count=e.checkpoint_count,
        checkpoint_size=str(e.checkpoint_size),
        best_trial_id=e.best_trial_id,
        best_trial_searcher_metric=e.best_metric,
        message=e.message,
    )


def no_experiment(original_config: str) -> ExperimentJson:
    """What clients parse where nothing was created."""
    return ExperimentJson(
        id=0,
        name="",
        state="STATE_UNSPECIFIED",
        start_time=to_text(0.0),
        archived=False,
        num_trials=0,
        username="",
        job_id="",
        config=NO_RAW,
        original_config=original_config,
        searcher_type="",
        project_owner_id=0,
    )


def job_summary(wire_state: str) -> JobSummary | None:
    """The queue state of an experiment; None unless it is active."""
    if wire_state not in ("ACTIVE", "QUEUED", "PULLING", "STARTING", "RUNNING"):
        return None
    return JobSummary(state="STATE_QUEUED" if wire_state == "QUEUED" else "STATE_SCHEDULED")
