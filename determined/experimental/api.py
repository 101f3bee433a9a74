"""A master as a Python object."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from determined.common.api import authentication, certs
from determined.common.local_master import ensure_master
from determined.common.util import canonical_master_url
from determined.experimental import create, user
from determined.experimental.checkpoint import Checkpoint, get_checkpoint
from determined.experimental.experiment import ExperimentReference
from determined.experimental.metrics import (
    TrainingMetrics,
    ValidationMetrics,
    stream_training_metrics,
    stream_validation_metrics,
)
from determined.experimental.trial import TrialReference


class Determined:
    """A master, and what it knows.

    Args:
        master: its address; by default ``DET_MASTER`` or ``DET_MASTER_ADDR``, else the local master, which is started
            if need be.
        user, password: whom to log in as; by default whoever logged in with ``det user login``, else ``determined``.
        cert_path: PEM file to check the master's certificate against.
        cert_name: host name expected in the certificate, if not that of the address.
        noverify: do not check the certificate.
    """

    def __init__(
        self,
        master: str | None = None,
        user: str | None = None,
        password: str | None = None,
        cert_path: str | None = None,
        cert_name: str | None = None,
        noverify: bool = False,
    ) -> None:
        self._master = master or ensure_master()
        cert = certs.default_load(canonical_master_url(self._master), cert_path, cert_name, noverify)
        self._session = authentication.open_session(self._master, user=user, password=password, cert=cert)
        self._cert = cert

    def logout(self) -> None:
        """Forget the login of this object's user."""
        authentication.logout(self._master, self._session.user, self._cert)

    def create_experiment(
        self,
        config: str | os.PathLike[str] | Mapping[str, Any],
        model_dir: str | os.PathLike[str] | None,
        includes: Iterable[str | os.PathLike[str]] | None = None,
        *,
        client_key: str | None = None,
    ) -> ExperimentReference:
        """Start an experiment.

        Args:
            config: path of the configuration file, or the configuration itself.
            model_dir: folder with the training script and all it needs, or a single file.
            includes: more files and folders to send along.
            client_key: sent along so that a repeated call, with the same key, gives the same experiment.

        Raises:
            InvalidInput: something is wrong with the configuration or the files.
        """
        text = create.config_text(config)
        files = create.model_files(model_dir, includes)
        submission = create.Submission(text, files)
        if client_key is not None:
            submission = replace(submission, client_key=client_key)
        answer = create.submit(self._session, submission)
        return ExperimentReference(int(answer["experiment"]["id"]), self._session)

    def get_experiment(self, experiment_id: int) -> ExperimentReference:
        """The experiment of that number; the master is not asked whether it exists."""
        return ExperimentReference(experiment_id, self._session)

    def get_trial(self, trial_id: int) -> TrialReference:
        """The trial of that number; the master is not asked whether it exists."""
        return TrialReference(trial_id, self._session)

    def get_checkpoint(self, uuid: str) -> Checkpoint:
        """The checkpoint of that name."""
        return get_checkpoint(self._session, uuid)

    def create_user(self, username: str, admin: bool, password: str | None = None, remote: bool = False) -> user.User:
        """A new user; for admins."""
        return user.create_user(self._session, username, admin, password, remote)

    def get_user_by_id(self, user_id: int) -> user.User:
        """The user with that number."""
        return user.get_user_by_id(self._session, user_id)

    def get_user_by_name(self, user_name: str) -> user.User:
        """The user of that name."""
        return user.get_user_by_name(self._session, user_name)

    def whoami(self) -> user.User:
        """The user of this object."""
        return user.whoami(self._session)

    def get_session_username(self) -> str:
        """Name of the user of this object."""
        return self._session.user or ""

    def list_users(self) -> list[user.User]:
        """All users."""
        return user.list_users(self._session)

    def stream_trials_training_metrics(self, trial_ids: Sequence[int]) -> Iterator[TrainingMetrics]:
        """Training metrics of some trials, by trial, run and steps."""
        return stream_training_metrics(self._session, trial_ids)

    def stream_trials_validation_metrics(self, trial_ids: Sequence[int]) -> Iterator[ValidationMetrics]:
        """Validation metrics of some trials, by trial, run and steps."""
        return stream_validation_metrics(self._session, trial_ids)
