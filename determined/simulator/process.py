"""A trial of a simulation: what it has done so far, and what its process is about to do."""

from __future__ import annotations

import enum
import math
import uuid
from typing import Any

from determined.domain.ids import RunId, TrialId
from determined.simulator.model import FailureKind, Hparams

NEVER = math.inf


class Act(enum.IntEnum):
    """What happens to a process at the time that it is due."""

    REPORT = 0
    START = 1
    TRAINED = 2
    VALIDATED = 3
    FAIL = 4
    EXIT = 5


class Process:
    """One trial, across all of its runs.

    Attributes:
        pace: time that a unit takes, without stragglers.
        saved: length of the newest checkpoint, which may have come from another trial.
        position: length that the model in memory has reached, as far as it has been reported.
        due: number of the clock's entry that counts; 0 for none. Other entries of this trial are void.
        act: what that entry is for.
        order: length of the operation at work.
        next_position: length at that entry.
        began, base, job_pace: a job trains from length ``base`` on since ``began``, a unit in ``job_pace``.
        fails_at, failure: when and how this job fails; ``NEVER`` if it does not.
        busy_since: when the process began to use its worker; None while it does not.
        outcome: how the trial ended, "" while it has not.
    """

    __slots__ = (
        "act",
        "base",
        "began",
        "best",
        "busy_since",
        "created",
        "due",
        "ended",
        "exit_code",
        "fails_at",
        "failure",
        "hparams",
        "job_pace",
        "lengths",
        "losses",
        "metrics",
        "next_position",
        "order",
        "outcome",
        "pace",
        "position",
        "request_id",
        "restarts",
        "run_id",
        "saved",
        "started",
        "trial_id",
        "units",
        "worker_time",
    )

    def __init__(self, trial_id: TrialId, request_id: uuid.UUID, hparams: Hparams, created: float, pace: float) -> None:
        self.trial_id, self.request_id, self.hparams = trial_id, request_id, hparams
        self.created = created
        self.pace = pace
        self.started: float | None = None
        self.ended: float | None = None
        self.outcome = ""
        self.lengths: list[int] = []
        self.metrics: list[Any] = []
        self.best: Any = None
        self.units = 0.0
        self.restarts = self.losses = 0
        self.worker_time = 0.0
        self.run_id = RunId(0)
        self.saved = 0
        self.position = 0.0
        self.due = 0
        self.act = Act.START
        self.order = 0
        self.next_position = 0.0
        self.began = self.base = 0.0
        self.job_pace = pace
        self.fails_at = NEVER
        self.failure: FailureKind | None = None
        self.exit_code = 0
        self.busy_since: float | None = None

    def begin_work(self, at: float) -> None:
        """The worker is used from now on."""
        if self.busy_since is None:
            self.busy_since = at

    def end_work(self, at: float) -> None:
        """The worker is not used any more."""
        if self.busy_since is not None:
            self.worker_time += at - self.busy_since
            self.busy_since = None


def checkpoint_id(trial_id: TrialId, length: int) -> str:
    """Name of a trial's checkpoint, which tells both; it has the form of a UUID, as real ones have."""
    return f"{trial_id:08x}-0000-4000-8000-{length:012x}"


def read_checkpoint_id(name: str) -> tuple[TrialId, int] | None:
    """What ``checkpoint_id`` was given; None for other names."""
    try:
        trial_id, length = TrialId(int(name[:8], 16)), int(name[24:], 16)
    except ValueError:
        return None
    return (trial_id, length) if checkpoint_id(trial_id, length) == name else None
