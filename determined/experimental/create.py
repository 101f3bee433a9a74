"""Submits experiments: configuration and model definition in, the master's answer out."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from determined.common.api.session import Session
from determined.common.context import read_context
from determined.errors import InvalidConfig, InvalidInput, Problem

logger = logging.getLogger("determined.experimental")

_WARNINGS = {
    "LAUNCH_WARNING_CURRENT_SLOTS_EXCEEDED": (
        "a trial of this experiment asks for more slots than there are now; it waits until there are enough"
    )
}


@dataclass(frozen=True, slots=True)
class GitState:
    """Which commit the model definition was taken from."""

    remote: str
    commit: str
    committer: str
    commit_date: str


@dataclass(frozen=True, slots=True)
class Submission:
    """What is sent to create an experiment.

    Attributes:
        config: YAML text.
        files: the model definition, as ``read_context`` packs it.
        activate: start at once; else it is created paused.
        project_id: None for the default one.
        validate_only: check everything, create nothing.
        client_key: the same key again gives the experiment that was created first. By default a new one, so that a
            network that delivers the request twice does not make two experiments.
    """

    config: str
    files: list[dict[str, Any]]
    activate: bool = True
    project_id: int | None = None
    validate_only: bool = False
    git: GitState | None = None
    client_key: str = field(default_factory=lambda: str(uuid.uuid4()))

    def body(self) -> dict[str, Any]:
        """As the master takes it."""
        body: dict[str, Any] = {
            "config": self.config,
            "modelDefinition": self.files,
            "activate": self.activate,
            "validateOnly": self.validate_only,
            "clientKey": self.client_key,
        }
        if self.project_id is not None:
            body["projectId"] = self.project_id
        if self.git is not None:
            body["gitRemote"], body["gitCommit"] = self.git.remote, self.git.commit
            body["gitCommitter"], body["gitCommitDate"] = self.git.committer, self.git.commit_date
        return body


def submit(session: Session, submission: Submission) -> dict[str, Any]:
    """Create the experiment; the master's answer, with the new ``experiment`` in it. Its warnings are logged."""
    answer: dict[str, Any] = session.post("/api/v1/experiments", json=submission.body())
    for warning in answer.get("warnings") or []:
        logger.warning("%s", _WARNINGS.get(warning, warning))
    return answer


def config_text(config: str | os.PathLike[str] | Mapping[str, Any]) -> str:
    """The YAML text of a configuration that was given as a path or as a mapping.

    Raises:
        InvalidConfig: it cannot be read, or is no YAML mapping. What it says is checked by the master.
    """
    from determined.domain.config.document import read_document

    if isinstance(config, Mapping):
        return dump_yaml(read_document(config).data)
    if not isinstance(config, (str, os.PathLike)):
        raise InvalidInput(f"the configuration is {type(config).__name__}; give a path or a dictionary")
    try:
        raw = Path(config).read_bytes()
    except (OSError, ValueError) as error:
        raise InvalidConfig([Problem("", f"cannot be read from {os.fspath(config)!r}: {error}")]) from error
    return checked_text(raw)


def checked_text(raw: bytes) -> str:
    """A configuration file's content as text.

    Raises:
        InvalidConfig: it is no YAML mapping in UTF-8.
    """
    from determined.domain.config.document import read_document

    read_document(raw)
    return raw.decode("utf-8")


def dump_yaml(value: Any) -> str:
    """YAML text of plain data, in the order it has."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    return str(yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True))


def model_files(
    model_dir: str | os.PathLike[str] | None, includes: Iterable[str | os.PathLike[str]] | None
) -> list[dict[str, Any]]:
    """The files to send; empty without a folder."""
    return read_context(model_dir, includes or ())
