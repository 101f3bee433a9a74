"""What a simulation found: each trial, the search as a whole, and the best metric as it went."""

from __future__ import annotations

import bisect
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from determined.domain.ids import TrialId
from determined.domain.operations import Operation
from determined.domain.reasons import Explanation
from determined.errors import DeterminedError


class Decision(msgspec.Struct, frozen=True, gc=False):
    """An operation that the search method gave.

    Attributes:
        time: when.
        event_id: of the event that it answers, counted from 1.
        operation: with its ``reason``, if it has one.
    """

    time: float
    event_id: int
    operation: Operation

    @property
    def reason(self) -> str | Explanation | None:
        """Why, if the method says so."""
        return getattr(self.operation, "reason", None)


class Best(NamedTuple):
    """The best metric from some moment on.

    Attributes:
        time: when it was validated.
        units: trained by all trials together until then.
        length: that this metric took.
    """

    time: float
    units: float
    metric: float
    request_id: uuid.UUID
    length: int


class SimulatedTrial(msgspec.Struct, gc=False):
    """One trial of a simulation. Times are on the virtual clock; None for what has not happened.

    Attributes:
        trial_id: counted from 1 in the order of creation.
        created, started, ended: when the method asked for it, its first process got a worker, it was over.
        lengths, metrics: of its validations, in order.
        best: best of the metrics that are finite numbers, None without any.
        units: trained, what was lost and trained again included.
        worker_time: during which it used a worker.
        restarts: after failures that counted.
        losses: runs that were lost and did not count.
        outcome: ``completed``, ``errored``, ``invalid_hp``, ``canceled``, ``running`` or ``waiting``.
    """

    trial_id: TrialId
    request_id: uuid.UUID
    hparams: Mapping[str, Any]
    created: float
    started: float | None = None
    ended: float | None = None
    lengths: tuple[int, ...] = ()
    metrics: tuple[Any, ...] = ()
    best: float | None = None
    units: float = 0.0
    worker_time: float = 0.0
    restarts: int = 0
    losses: int = 0
    outcome: str = ""

    def __repr__(self) -> str:
        # Also of a trial that the simulator has worked with, whose other fields are nobody's business.
        told = ", ".join(f"{name}={getattr(self, name)!r}" for name in SimulatedTrial.__struct_fields__)
        return f"SimulatedTrial({told})"

    @property
    def last(self) -> Any:
        """The newest metric, None without any."""
        return self.metrics[-1] if self.metrics else None

    @property
    def length(self) -> int:
        """The longest length that it validated at; 0 without any."""
        return max(self.lengths, default=0)


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """What a simulation found.

    Attributes:
        outcome: ``completed``, ``canceled`` or ``error`` as the search ended; ``stalled``; or the limit that ended
            it: ``max_time``, ``max_units``, ``max_trials``, ``max_events``.
        message: why, where there is more to say.
        trials: in the order of their creation.
        best_so_far: each improvement, in order; empty while no metric is a finite number.
        time: virtual time at the end.
        units: trained by all trials.
        worker_time: during which workers trained, validated or started; ``available`` of so much.
        reports: of progress.
        events, operations: how many there were, by the name of their type.
        decisions: what the method asked for, except progress, in order.
        progress: of the search at the end, as it says itself; None if it never did.
    """

    outcome: str
    message: str
    trials: tuple[SimulatedTrial, ...] = field(repr=False)
    best_so_far: tuple[Best, ...] = field(repr=False)
    time: float
    units: float
    worker_time: float
    available: float
    reports: int
    events: Mapping[str, int]
    operations: Mapping[str, int]
    decisions: tuple[Decision, ...] = field(repr=False)
    progress: float | None
    smaller_is_better: bool = True

    @property
    def utilisation(self) -> float:
        """Share of the available worker time that was used; 0 when there was none."""
        return self.worker_time / self.available if self.available else 0.0

    @property
    def best(self) -> Best | None:
        """The best validation of all."""
        return self.best_so_far[-1] if self.best_so_far else None

    @property
    def best_trial(self) -> SimulatedTrial | None:
        """The trial that it is of."""
        best = self.best
        return None if best is None else next(t for t in self.trials if t.request_id == best.request_id)

    def best_at(self, *, time: float | None = None, units: float | None = None) -> float | None:
        """The best metric that was known at a time, or when so many units had been trained; None before the first.

        Raises:
            ValueError: not exactly one of the two is given.
        """
        if (time is None) == (units is None):
            raise ValueError("best_at() takes either time=... or units=...")
        limit = units if time is None else time
        place = bisect.bisect_right(self.best_so_far, limit, key=lambda b: b.units if time is None else b.time)
        return self.best_so_far[place - 1].metric if place else None

    def trials_by_length(self) -> dict[int, int]:
        """How many trials validated at each length, shortest first."""
        counts: dict[int, int] = {}
        for trial in self.trials:
            for length in set(trial.lengths):
                counts[length] = counts.get(length, 0) + 1
        return dict(sorted(counts.items()))

    def to_frame(self) -> Any:
        """A pandas DataFrame with a line for each trial; hyperparameters are columns ``hparams.NAME``.

        Raises:
            MissingExtra: pandas is not installed.
        """
        from determined.simulator.frames import frame_of

        return frame_of(self)

    def plot(self, path: str | Path | None = None) -> Any:
        """A Matplotlib figure: the best metric against time and against units, and trials by length.

        Args:
            path: where to save it, too; the suffix chooses the format.
        Raises:
            InvalidInput: it cannot be written there.
            MissingExtra: Matplotlib is not installed.
        """
        from determined.simulator.plot import plotted

        return plotted(self, path)

    def summary(self) -> str:
        """A few lines for people."""
        from determined.simulator.summary import summary_of

        return summary_of(self)


class Stalled(DeterminedError, RuntimeError):
    """Nothing runs and nothing can start, but the search has not ended.

    Attributes:
        result: everything until then.
    """

    def __init__(self, result: SimulationResult) -> None:
        super().__init__(result.message)
        self.result = result
