"""A saved model: what the master knows of it, and its files."""

from __future__ import annotations

import enum
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from determined.common.api.session import Session, segment
from determined.errors import FailedPrecondition, InvalidInput
from determined.experimental.download import DownloadMode
from determined.wire.values import protect, restore

if TYPE_CHECKING:
    from determined.common.objects.transfer import Moved as DownloadProgress

logger = logging.getLogger("determined.experimental")


class CheckpointState(enum.Enum):
    """State of the files of a checkpoint."""

    UNSPECIFIED = "STATE_UNSPECIFIED"
    ACTIVE = "STATE_ACTIVE"
    COMPLETED = "STATE_COMPLETED"
    ERROR = "STATE_ERROR"
    DELETED = "STATE_DELETED"


@dataclass
class CheckpointTrainingMetadata:
    """Where a checkpoint comes from.

    Attributes:
        validation_metrics: those reported at the same steps, under ``avgMetrics``.
    """

    experiment_config: dict[str, Any]
    experiment_id: int
    trial_id: int
    hparams: dict[str, Any]
    validation_metrics: dict[str, Any]


class Checkpoint:
    """A checkpoint of a trial; get one from ``client.get_checkpoint``, an experiment or a trial.

    Attributes:
        uuid: names it.
        task_id, allocation_id: the task and the run that wrote it.
        report_time: as the master writes times.
        resources: size in bytes by path, as the master writes it; folders end with ``/``.
        metadata: ``steps_completed`` and whatever was given with it.
        state: of its files.
        training: where it comes from; None if from no trial.
    """

    def __init__(
        self,
        session: Session,
        task_id: str | None,
        allocation_id: str | None,
        uuid: str,
        report_time: str | None,
        resources: dict[str, Any],
        metadata: dict[str, Any],
        state: CheckpointState,
        training: CheckpointTrainingMetadata | None = None,
    ) -> None:
        self._session = session
        self.task_id = task_id
        self.allocation_id = allocation_id
        self.uuid = uuid
        self.report_time = report_time
        self.resources = resources
        self.metadata = metadata
        self.state = state
        self.training = training

    @classmethod
    def from_json(cls, value: Mapping[str, Any], session: Session) -> Checkpoint:
        """The checkpoint in an answer of the master."""
        return cls(
            session=session,
            task_id=value.get("taskId"),
            allocation_id=value.get("allocationId"),
            uuid=value["uuid"],
            report_time=value.get("reportTime"),
            resources=dict(value.get("resources") or {}),
            metadata=restore(value.get("metadata") or {}),
            state=CheckpointState(value["state"]),
            training=_training(value.get("training") or {}),
        )

    def download(
        self,
        path: str | os.PathLike[str] | None = None,
        mode: DownloadMode = DownloadMode.AUTO,
        *,
        progress: Callable[[DownloadProgress], None] | None = None,
    ) -> str:
        """Fetch the files, unless they are there already.

        Args:
            path: the folder to put them in; ``checkpoints/<uuid>`` by default.
            mode: from where.
            progress: is told how far it is: at the beginning, and whenever a file or a large piece of one is there.
        Returns:
            The folder.
        Raises:
            FailedPrecondition: the checkpoint has no complete files.
            InvalidInput: there is something else at that path.
            Unavailable: the files cannot be reached that way.
            CorruptState: the files are not those that were stored.
        """
        from determined.experimental.checkpoint_files import fetch

        if self.state is not CheckpointState.COMPLETED:
            raise FailedPrecondition(
                f"checkpoint {self.uuid} is {self.state.name}; only COMPLETED checkpoints can be downloaded"
            )
        folder = Path("checkpoints", self.uuid) if path is None else Path(path)
        if not (folder / "metadata.json").exists():
            storage = {} if self.training is None else self.training.experiment_config.get("checkpoint_storage", {})
            sizes = {name: int(size) for name, size in self.resources.items()}
            fetch(self._session, self.uuid, storage, folder, DownloadMode(mode), sizes, progress)
        if not (folder / "metadata.json").exists():
            self.write_metadata_file(str(folder / "metadata.json"))
        return str(folder)

    def write_metadata_file(self, path: str) -> None:
        """Write the metadata, as the master has it now, to a JSON file."""
        Path(path).write_text(json.dumps(self.metadata, indent=2), encoding="utf-8")

    def add_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Add entries to the master's metadata, replacing those of the same names. The stored files do not change."""
        self._replace_metadata({**self.metadata, **metadata})

    def remove_metadata(self, keys: Sequence[str]) -> None:
        """Remove entries from the master's metadata. The stored files do not change."""
        if isinstance(keys, str):
            raise InvalidInput(f"keys is the text {keys!r}; give a list of names")
        self._replace_metadata({key: value for key, value in self.metadata.items() if key not in keys})

    def delete(self) -> None:
        """Have the master delete the files, in the background."""
        self._session.delete("/api/v1/checkpoints", json={"checkpointUuids": [self.uuid]})
        logger.info("Deletion of checkpoint %s is in progress.", self.uuid)

    def _replace_metadata(self, metadata: dict[str, Any]) -> None:
        body = {"checkpoint": {"uuid": self.uuid, "metadata": protect(metadata), "resources": {}, "training": {}}}
        self._session.post(f"/api/v1/checkpoints/{segment(self.uuid)}/metadata", json=body)
        self.metadata = metadata

    def __repr__(self) -> str:
        trial = "" if self.training is None else f", trial_id={self.training.trial_id}"
        return f"Checkpoint(uuid={self.uuid}, task_id={self.task_id}{trial})"


def get_checkpoint(session: Session, uuid: str) -> Checkpoint:
    """The checkpoint of that name.

    Raises:
        NotFoundException: there is none.
    """
    return Checkpoint.from_json(session.get(f"/api/v1/checkpoints/{segment(uuid)}")["checkpoint"], session)


def sort_by_metric(checkpoints: Sequence[Checkpoint], metric: str, smaller_is_better: bool) -> list[Checkpoint]:
    """Best first; those without that metric, or with one that cannot be compared, last."""

    def key(checkpoint: Checkpoint) -> tuple[bool, float]:
        value = metric_of(checkpoint, metric)
        return (True, 0.0) if value is None else (False, value if smaller_is_better else -value)

    return sorted(checkpoints, key=key)


def metric_of(checkpoint: Checkpoint, metric: str) -> float | None:
    """A validation metric at the steps of a checkpoint; None when it is missing, no number, or NaN."""
    metrics = checkpoint.training.validation_metrics if checkpoint.training else {}
    value = (metrics.get("avgMetrics") or {}).get(metric)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return None
    return value


def searcher_metric(checkpoints: Sequence[Checkpoint]) -> tuple[str, bool]:
    """The metric that the search of these checkpoints optimises, and whether smaller is better.

    Raises:
        InvalidInput: their configuration names none.
    """
    config = checkpoints[0].training.experiment_config if checkpoints[0].training else {}
    searcher = config.get("searcher") or {}
    metric = searcher.get("metric")
    if not isinstance(metric, str):
        raise InvalidInput("the experiment names no searcher.metric; give sort_by and smaller_is_better")
    return metric, bool(searcher.get("smaller_is_better", True))


def _training(value: Mapping[str, Any]) -> CheckpointTrainingMetadata | None:
    if not value.get("trialId"):
        return None
    return CheckpointTrainingMetadata(
        experiment_config=value.get("experimentConfig") or {},
        experiment_id=int(value.get("experimentId") or 0),
        trial_id=int(value["trialId"]),
        hparams=restore(value.get("hparams") or {}),
        validation_metrics=restore(value.get("validationMetrics") or {}),
    )
