"""What a search method hears. What the engine hears is in ``facts``."""

from __future__ import annotations

import enum
import uuid
from typing import Any

import msgspec


class ExitedReason(enum.Enum):
    """Why a trial ended before its search method closed it, as search methods see it."""

    ERRORED = "ERRORED"
    USER_CANCELED = "USER_CANCELED"
    INVALID_HP = "INVALID_HP"


class ExitCause(str, enum.Enum):
    """Why a trial ended early, with the distinction that ``ExitedReason`` does not make."""

    ERRORED = "ERRORED"
    KILLED = "KILLED"
    """A user killed the trial, or the experiment was cancelled or killed."""
    STOPPED_ITSELF = "STOPPED_ITSELF"
    """The process exited with 0 although work was left."""
    INVALID_HP = "INVALID_HP"

    @property
    def reason(self) -> ExitedReason:
        """The reason that a search method is told."""
        if self is ExitCause.ERRORED:
            return ExitedReason.ERRORED
        if self is ExitCause.INVALID_HP:
            return ExitedReason.INVALID_HP
        return ExitedReason.USER_CANCELED


class _Event(msgspec.Struct, frozen=True, gc=False):
    pass


class InitialOperations(_Event, frozen=True):
    """The search starts; once per experiment, always the first event."""


class TrialCreated(_Event, frozen=True):
    """The first run of a trial has its slots and is about to start."""

    request_id: uuid.UUID


class TrialProgress(_Event, frozen=True):
    """A trial reported how far it has come, as a raw length in the experiment's unit."""

    request_id: uuid.UUID
    partial_units: float


class ValidationCompleted(_Event, frozen=True):
    """A trial completed its operation; ``metric`` is any JSON value, non-finite numbers included."""

    request_id: uuid.UUID
    metric: Any
    length: int


class TrialExitedEarly(_Event, frozen=True):
    """A trial ended without having been closed; at most once per trial."""

    request_id: uuid.UUID
    cause: ExitCause


class TrialClosed(_Event, frozen=True):
    """A trial is over and its process is gone; exactly once per trial, always its last event."""

    request_id: uuid.UUID


SearcherEvent = InitialOperations | TrialCreated | TrialProgress | ValidationCompleted | TrialExitedEarly | TrialClosed
