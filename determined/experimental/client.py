"""The master, experiments, trials and checkpoints from Python.

    from determined.experimental import client

    exp = client.create_experiment("config.yaml", "model_dir")
    print(exp.wait(), exp.top_checkpoint().uuid)

Every function here belongs to one ``Determined`` object, made by ``login`` or by the first call. Programs that talk
to several masters make such objects themselves.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from determined.common.api.session import Session
from determined.errors import InvalidInput
from determined.experimental.api import Determined
from determined.experimental.checkpoint import Checkpoint, CheckpointState
from determined.experimental.download import DownloadMode
from determined.experimental.experiment import Experiment, ExperimentReference, ExperimentState
from determined.experimental.metrics import TrainingMetrics, ValidationMetrics
from determined.experimental.trial import (
    CheckpointOrderBy,
    CheckpointSortBy,
    LogLevel,
    Trial,
    TrialOrderBy,
    TrialReference,
    TrialSortBy,
)
from determined.experimental.user import User

__all__ = [
    "Checkpoint",
    "CheckpointOrderBy",
    "CheckpointSortBy",
    "CheckpointState",
    "Determined",
    "DownloadMode",
    "Experiment",
    "ExperimentReference",
    "ExperimentState",
    "LogLevel",
    "Session",
    "TrainingMetrics",
    "Trial",
    "TrialOrderBy",
    "TrialReference",
    "TrialSortBy",
    "User",
    "ValidationMetrics",
    "create_experiment",
    "create_user",
    "get_checkpoint",
    "get_experiment",
    "get_session_username",
    "get_trial",
    "get_user_by_id",
    "get_user_by_name",
    "list_users",
    "login",
    "logout",
    "stream_trials_training_metrics",
    "stream_trials_validation_metrics",
    "whoami",
]

_determined: Determined | None = None
_lock = threading.Lock()


def _the_one() -> Determined:
    global _determined
    with _lock:
        if _determined is None:
            _determined = Determined()
        return _determined


def login(
    master: str | None = None,
    user: str | None = None,
    password: str | None = None,
    cert_path: str | None = None,
    cert_name: str | None = None,
    noverify: bool = False,
) -> None:
    """Choose the master and the user for all other functions here. Seldom needed; see ``Determined`` for defaults.

    Raises:
        InvalidInput: not the first call of this module; it is a ValueError.
    """
    global _determined
    with _lock:
        if _determined is not None:
            raise InvalidInput(
                "login() must come once, before every other function of this module; for a second master or user"
                " make a Determined object"
            )
        _determined = Determined(master, user, password, cert_path, cert_name, noverify)


def logout() -> None:
    """Forget the login of the present user."""
    _the_one().logout()


def create_experiment(
    config: str | os.PathLike[str] | Mapping[str, Any],
    model_dir: str | os.PathLike[str] | None,
    includes: Iterable[str | os.PathLike[str]] | None = None,
    *,
    client_key: str | None = None,
) -> ExperimentReference:
    """Start an experiment; see ``Determined.create_experiment``."""
    return _the_one().create_experiment(config, model_dir, includes, client_key=client_key)


def get_experiment(experiment_id: int) -> ExperimentReference:
    """The experiment of that number."""
    return _the_one().get_experiment(experiment_id)


def get_trial(trial_id: int) -> TrialReference:
    """The trial of that number."""
    return _the_one().get_trial(trial_id)


def get_checkpoint(uuid: str) -> Checkpoint:
    """The checkpoint of that name."""
    return _the_one().get_checkpoint(uuid)


def create_user(username: str, admin: bool, password: str | None = None, remote: bool = False) -> User:
    """A new user; for admins."""
    return _the_one().create_user(username, admin, password, remote)


def get_user_by_id(user_id: int) -> User:
    """The user with that number."""
    return _the_one().get_user_by_id(user_id)


def get_user_by_name(user_name: str) -> User:
    """The user of that name."""
    return _the_one().get_user_by_name(user_name)


def whoami() -> User:
    """The present user."""
    return _the_one().whoami()


def get_session_username() -> str:
    """Name of the present user."""
    return _the_one().get_session_username()


def list_users() -> list[User]:
    """All users."""
    return _the_one().list_users()


def stream_trials_training_metrics(trial_ids: Sequence[int]) -> Iterator[TrainingMetrics]:
    """Training metrics of some trials, by trial, run and steps."""
    return _the_one().stream_trials_training_metrics(trial_ids)


def stream_trials_validation_metrics(trial_ids: Sequence[int]) -> Iterator[ValidationMetrics]:
    """Validation metrics of some trials, by trial, run and steps."""
    return _the_one().stream_trials_validation_metrics(trial_ids)
