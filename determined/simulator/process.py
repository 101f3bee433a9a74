"""A trial of a simulation: what it has done so far, and what its process is about to do."""

from __future__ import annotations

import enum
import math

from determined.domain.ids import RunId, TrialId
from determined.simulator.model import FailureKind
from determined.simulator.result import SimulatedTrial

NEVER = math.inf


class Act(enum.IntEnum):
    """What happens to a process at the time that it is due."""

    REPORT = 0
    START = 1
    TRAINED = 2
    VALIDATED = 3
    FAIL = 4
    EXIT = 5


class Process(SimulatedTrial, gc=False):
    """A trial and its process, across all of its runs. It becomes what the result tells of the trial as it is.

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
    """

    pace: float = 1.0
    run_id: RunId = RunId(0)
    saved: int = 0
    position: float = 0.0
    due: int = 0
    act: Act = Act.START
    order: int = 0
    next_position: float = 0.0
    began: float = 0.0
    base: float = 0.0
    job_pace: float = 0.0
    fails_at: float = NEVER
    failure: FailureKind | None = None
    exit_code: int = 0
    busy_since: float | None = None

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
