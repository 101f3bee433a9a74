"""What simulated trials are like and how far a simulation may go: values that several simulations can share."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

from determined.errors import InvalidInput

Hparams = Mapping[str, Any]
CurveFunction = Callable[[Hparams, float], Any]
"""``(hparams, length) -> metric`` of a trial that has trained ``length`` units; a number of Python or NumPy."""


class FailureKind(str, enum.Enum):
    """How a simulated trial fails."""

    ERRORED = "errored"
    """Its process exits with code 1: a restart is counted, and after ``max_restarts`` of them the trial is over."""
    INVALID_HP = "invalid_hp"
    """It says that its hyperparameters cannot be trained, and is over."""
    STOPPED = "stopped"
    """Its process exits with code 0 although work is left; the trial is over."""
    LOST = "lost"
    """Nobody sees how its process ends: it is queued again, and no restart is counted."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure that is planned for an operation.

    Attributes:
        after: share of the operation's training that is done by then, from 0 to 1.
    """

    kind: FailureKind | str
    after: float = 0.0

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "kind", FailureKind(self.kind))
        except ValueError:
            allowed = ", ".join(repr(kind.value) for kind in FailureKind)
            raise InvalidInput(f"a simulated trial cannot fail as {self.kind!r} (allowed: {allowed})") from None
        if not 0 <= self.after <= 1:
            raise InvalidInput(f"a failure comes after a share from 0 to 1 of an operation, not {self.after!r}")


FailureFunction = Callable[[Hparams, int], Failure | FailureKind | str | None]


@dataclass(frozen=True, slots=True)
class TrialModel:
    """How long simulated trials take, and what goes wrong with them. Times are in one unit of the caller's choice.

    A *job* is the training for one operation in one run of a trial.

    Attributes:
        unit_time: what training one unit of length takes, or a function of the hyperparameters that tells it.
        start_time: from getting a worker to the first unit, at each start of a process.
        validation_time: at the end of each operation.
        straggler_std: training of each job takes ``1 + |z|`` times as long, with z from a normal distribution of mean
            0 and this standard deviation.
        drop_probability: with which a job is lost within a time unit; its trial is queued again.
        error_probability: with which its process exits with code 1 within a time unit.
        invalid_probability: with which the hyperparameters of a trial turn out to be invalid when it first starts.
        failure: ``(hparams, length)`` of an operation that is taken up -> what goes wrong with it, None for nothing.
        from_scratch: each operation trains from length 0 again; nothing is saved. Otherwise a trial saves a checkpoint
            at the end of each operation and goes on from the newest one, and one that was created from a checkpoint of
            another trial goes on where that one was.
        checkpoint_every: save at each multiple of so many units as well.
        report_every: units between two reports of progress, one more at the end of each operation; None: only there.
        completes_with: ``(metric, checkpoint)`` -> what a trial reports as its metric, for methods that expect more
            than a number; ``checkpoint`` is "" for a trial that trains from scratch.

    Raises:
        InvalidInput: a value is out of its range.

    Source of stragglers and drops: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020,
    appendix A.1.
    """

    unit_time: float | Callable[[Hparams], float] = 1.0
    start_time: float = 0.0
    validation_time: float = 0.0
    straggler_std: float = 0.0
    drop_probability: float = 0.0
    error_probability: float = 0.0
    invalid_probability: float = 0.0
    failure: FailureFunction | None = None
    from_scratch: bool = False
    checkpoint_every: int | None = None
    report_every: int | None = 1
    completes_with: Callable[[Any, str], Any] | None = None

    def __post_init__(self) -> None:
        for name in ("start_time", "validation_time", "straggler_std"):
            check(name, getattr(self, name), "a finite number from 0 on", lambda v: 0 <= v < math.inf)
        for name in ("drop_probability", "error_probability"):
            # A job that is lost for sure before its first unit would be started for ever.
            check(name, getattr(self, name), "from 0 to less than 1", lambda v: 0 <= v < 1)
        check("invalid_probability", self.invalid_probability, "from 0 to 1", lambda v: 0 <= v <= 1)
        for name in ("checkpoint_every", "report_every"):
            value = getattr(self, name)
            check(name, value, "None or a whole number from 1 on", lambda v: v is None or (v >= 1 and v == int(v)))
        if not callable(self.unit_time):
            check_unit_time(self.unit_time)

    def pace(self, hparams: Hparams) -> float:
        """What one unit takes a trial with these hyperparameters.

        Raises:
            InvalidInput: the function's answer is no such time.
        """
        return check_unit_time(self.unit_time(hparams)) if callable(self.unit_time) else self.unit_time


def check_unit_time(value: float) -> float:
    """The time itself if it is one that a unit can take."""
    check("unit_time", value, "a finite number greater than 0", lambda v: 0 < v < math.inf)
    return float(value)


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a simulation stops although its search goes on; None: nowhere.

    Attributes:
        max_time: in the time unit of the trials.
        max_units: units trained by all trials together.
        max_trials: trials created.
        max_events: events that the search method has heard; ends methods that never end.
    """

    max_time: float | None = None
    max_units: float | None = None
    max_trials: int | None = None
    max_events: int | None = 10_000_000

    def __post_init__(self) -> None:
        for name in ("max_time", "max_units", "max_trials", "max_events"):
            value = getattr(self, name)
            check(name, value, "None or a number greater than 0", lambda v: v is None or v > 0)


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many workers there are, from the start and from certain times on.

    Attributes:
        steps: (time, workers), the first at time 0.
    """

    steps: tuple[tuple[float, int], ...]

    @classmethod
    def of(cls, workers: int | Sequence[tuple[float, int]]) -> Capacity:
        """From a number, or a list of (time, workers) with ascending times; before the first time there are none.

        Raises:
            InvalidInput: it is neither.
        """
        if is_whole(workers):
            return cls(((0.0, _workers(0.0, workers)),))
        if not isinstance(workers, Sequence) or not workers or not all(_is_pair(step) for step in workers):
            raise _no_capacity(workers)
        steps = tuple((at, _workers(at, number)) for at, number in workers)
        if [at for at, _ in steps] != sorted({at for at, _ in steps}):
            raise _no_capacity(workers)
        return cls(steps if steps[0][0] == 0 else ((0.0, 0), *steps))

    @property
    def most(self) -> int:
        """The largest number of workers there ever is."""
        return max(number for _, number in self.steps)

    def worker_time(self, until: float) -> float:
        """Worker time that is there up to a moment."""
        ends = [at for at, _ in self.steps[1:]] + [math.inf]
        return sum(number * max(min(end, until) - at, 0.0) for (at, number), end in zip(self.steps, ends, strict=True))


def is_whole(value: Any) -> bool:
    """Whether it is a whole number, Python's or NumPy's."""
    try:
        index(value)
    except TypeError:
        return False
    return not isinstance(value, bool)


def _is_pair(step: Any) -> bool:
    return isinstance(step, Sequence) and not isinstance(step, (str, bytes)) and len(step) == 2


def _workers(at: Any, number: Any) -> int:
    check("each time in workers", at, "a finite number from 0 on", lambda v: 0 <= v < math.inf)
    check("workers", number, "a whole number from 0 on", lambda v: is_whole(v) and v >= 0)
    return index(number)


def _no_capacity(workers: Any) -> InvalidInput:
    return InvalidInput(
        "workers of a simulation is a whole number from 0 on, or a list of (time, workers) with ascending times, "
        f"not {workers!r:.80}"
    )


def check(name: str, value: Any, allowed: str, fits: Callable[[Any], bool]) -> None:
    """Refuse an argument of a simulation that does not fit, True and False included.

    Raises:
        InvalidInput: it says what is allowed.
    """
    try:
        if not isinstance(value, bool) and fits(value):
            return
    except (TypeError, ValueError):
        pass
    raise InvalidInput(f"{name} of a simulation is {allowed}, not {value!r:.80}")
