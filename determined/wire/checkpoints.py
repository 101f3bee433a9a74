"""Checkpoints on the wire."""

from __future__ import annotations

import re
import uuid as uuids
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from determined.domain.records import Checkpoint, Experiment, Metrics
from determined.errors import DeterminedError, InvalidInput, StaleRun
from determined.wire.answers import NO_LIST, NO_RAW, Answer, Pagination, raw
from determined.wire.times import to_text

MAX_RESOURCES: Final = 100_000
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


def checked_uuid(text: str) -> str:
    """The uuid of a checkpoint; it becomes the name of a folder, so nothing else will do.

    Raises:
        InvalidInput: it is no uuid in the usual form.
    """
    if not _UUID.fullmatch(text):
        raise InvalidInput(f"{text[:80]!a} is no uuid of a checkpoint; it looks like {uuids.UUID(int=7)}")
    return text


class NewCheckpoint(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The report of a checkpoint whose files are complete. ``resources``: path -> size in bytes."""

    uuid: str
    task_id: str = ""
    allocation_id: str = ""
    resources: Annotated[dict[str, Annotated[int, Meta(ge=0, le=2**63 - 1)]], Meta(max_length=MAX_RESOURCES)] = {}
    metadata: dict[str, Any] = {}
    state: str = ""

    def check(self) -> None:
        """Refuse what cannot be registered.

        Raises:
            InvalidInput: wrong uuid, a state other than completed, or sizes that no disk has.
        """
        checked_uuid(self.uuid)
        if self.state not in ("", "STATE_UNSPECIFIED", "STATE_COMPLETED", "COMPLETED"):
            raise InvalidInput(
                f"checkpoint {self.uuid}: state is {self.state[:40]!a}; only complete ones can be registered "
                "(STATE_COMPLETED)"
            )
        if sum(self.resources.values()) >= 2**63:
            raise InvalidInput(f"checkpoint {self.uuid}: its files have more than 2**63 bytes together")


class NewMetadata(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Metadata that replaces a checkpoint's."""

    class Body(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
        """The checkpoint; only its metadata counts."""

        uuid: str = ""
        metadata: dict[str, Any] = {}

    checkpoint: Body


class DeleteCheckpoints(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Checkpoints to delete."""

    checkpoint_uuids: Annotated[list[str], Meta(max_length=10_000)] = []


class MetricsJson(Answer, frozen=True, kw_only=True):
    """Averaged metrics, and those of each batch where they are wanted."""

    avg_metrics: msgspec.Raw
    batch_metrics: msgspec.Raw | UnsetType = UNSET


class CheckpointTraining(Answer, frozen=True, kw_only=True):
    """The training that a checkpoint came from."""

    trial_id: int
    experiment_id: int
    experiment_config: msgspec.Raw
    hparams: msgspec.Raw
    training_metrics: MetricsJson
    validation_metrics: MetricsJson
    searcher_metric: float | None = None


class CheckpointJson(Answer, frozen=True, kw_only=True):
    """A checkpoint."""

    uuid: str
    task_id: str
    allocation_id: str
    report_time: str
    resources: dict[str, str]
    metadata: msgspec.Raw
    training: CheckpointTraining
    state: str


class CheckpointAnswer(Answer, frozen=True, kw_only=True):
    """One checkpoint."""

    checkpoint: CheckpointJson


class CheckpointsAnswer(Answer, frozen=True, kw_only=True):
    """A page of checkpoints."""

    checkpoints: Sequence[CheckpointJson]
    pagination: Pagination


def sizes(c: Checkpoint) -> dict[str, str]:
    """The files of a checkpoint and their sizes as text."""
    return {path: str(size) for path, size in msgspec.json.decode(c.resources).items()}


def checkpoint_json(
    c: Checkpoint, experiment: Experiment, hparams: str, training: Metrics | None, validation: Metrics | None
) -> CheckpointJson:
    """A checkpoint for clients, with the reports at its steps."""
    return CheckpointJson(
        uuid=c.uuid,
        task_id=c.task_id,
        allocation_id=c.allocation_id,
        report_time=to_text(c.reported_at),
        resources=sizes(c),
        metadata=raw(c.metadata),
        training=CheckpointTraining(
            trial_id=c.trial_id,
            experiment_id=c.experiment_id,
            experiment_config=raw(experiment.config),
            hparams=raw(hparams),
            training_metrics=_metrics(training),
            validation_metrics=_metrics(validation),
            searcher_metric=None if validation is None else validation.searcher_metric,
        ),
        state=f"STATE_{c.state.value}",
    )


def _metrics(m: Metrics | None) -> MetricsJson:
    if m is None:
        return MetricsJson(avg_metrics=NO_RAW, batch_metrics=NO_LIST)
    return MetricsJson(avg_metrics=raw(m.metrics), batch_metrics=raw(m.batch_metrics or "[]"))


def no_live_run(new: NewCheckpoint) -> DeterminedError:
    """Why a report for a run that does not live is refused."""
    if not new.allocation_id:
        return InvalidInput(f"checkpoint {new.uuid}: allocationId is missing; name the run that wrote it")
    return StaleRun(f"checkpoint {new.uuid}: allocation {new.allocation_id[:80]!a} does not live; nothing was stored")
