"""The ``checkpoint_storage`` section: where checkpoints lie and which of them are kept."""

from __future__ import annotations

import dataclasses
import posixpath
from dataclasses import dataclass, field
from typing import Any, ClassVar

MASK = "********"


@dataclass(frozen=True, slots=True)
class SharedFs:
    """A folder that the master and every trial see under the same path.

    Attributes:
        host_path: absolute, without ``..``.
        storage_path: relative to ``host_path`` and inside it; None for ``host_path`` itself.
    """

    kind: ClassVar[str] = "shared_fs"
    host_path: str
    storage_path: str | None = None
    propagation: str = "rprivate"

    @property
    def root(self) -> str:
        """The folder that holds a folder per checkpoint."""
        return posixpath.join(self.host_path, self.storage_path) if self.storage_path else self.host_path


@dataclass(frozen=True, slots=True)
class S3:
    """A bucket of S3 or a service that speaks its protocol."""

    kind: ClassVar[str] = "s3"
    bucket: str
    access_key: str | None = field(default=None, repr=False, metadata={"secret": True})
    secret_key: str | None = field(default=None, repr=False, metadata={"secret": True})
    endpoint_url: str | None = None
    prefix: str | None = None


@dataclass(frozen=True, slots=True)
class Gcs:
    """A bucket of Google Cloud Storage."""

    kind: ClassVar[str] = "gcs"
    bucket: str
    prefix: str | None = None


@dataclass(frozen=True, slots=True)
class Azure:
    """A container of Azure Blob Storage, reached by exactly one of connection string and account address."""

    kind: ClassVar[str] = "azure"
    container: str
    connection_string: str | None = field(default=None, repr=False, metadata={"secret": True})
    account_url: str | None = None
    credential: str | None = field(default=None, repr=False, metadata={"secret": True})


Location = SharedFs | S3 | Gcs | Azure


@dataclass(frozen=True, slots=True)
class CheckpointStorage:
    """A place for checkpoints, and how many are kept when the experiment has ended.

    Attributes:
        save_experiment_best: how many of the best over all trials.
        save_trial_best: how many of the best of each trial.
        save_trial_latest: how many of the newest of each trial.
    """

    location: Location
    save_experiment_best: int = 0
    save_trial_best: int = 1
    save_trial_latest: int = 1

    @property
    def kind(self) -> str:
        """The ``type`` in a configuration."""
        return self.location.kind

    def to_json(self, *, masked: bool = False) -> dict[str, Any]:
        """The section with all defaults; ``masked`` hides secrets."""
        location = {}
        for spec in dataclasses.fields(self.location):
            value = getattr(self.location, spec.name)
            location[spec.name] = MASK if masked and value is not None and "secret" in spec.metadata else value
        return {
            "type": self.kind,
            **location,
            "save_experiment_best": self.save_experiment_best,
            "save_trial_best": self.save_trial_best,
            "save_trial_latest": self.save_trial_latest,
        }
