"""What-if: another search method over the trials that experiments recorded, and what it would have cost."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from determined.domain import facts
from determined.domain.search_method import SearchMethod
from determined.errors import InvalidInput
from determined.simulator.model import Limits, TrialModel
from determined.simulator.result import SimulationResult
from determined.simulator.run import simulate
from determined.workshop.recorded_trials import Account, RecordedTrials
from determined.workshop.recording import Recording


class Point(NamedTuple):
    """The best metric from so many trained units on."""

    units: float
    metric: float


@dataclass(frozen=True)
class Side:
    """One of two searches that are compared.

    Attributes:
        name: what to call it.
        trials: how many it created.
        full: how many of them were trained to the longest length that either search has.
        units: trained by all trials.
        best: each improvement of the best metric, in order.
    """

    name: str
    trials: int
    full: int
    units: float
    best: tuple[Point, ...]

    def best_at(self, units: float) -> float | None:
        """The best metric that was known when so many units had been trained; None before the first."""
        place = bisect.bisect_right(self.best, units, key=lambda point: point.units)
        return self.best[place - 1].metric if place else None

    def units_to(self, metric: float, smaller_is_better: bool) -> float | None:
        """Units until a metric at least this good was known; None if that never was."""
        sign = 1 if smaller_is_better else -1
        return next((point.units for point in self.best if sign * point.metric <= sign * metric), None)


@dataclass(frozen=True)
class Comparison:
    """What was recorded, and what the other method would have made of the same trials.

    Attributes:
        account: how much of what the other method was told is recorded.
        workers: how many trials it could train at once.
        unused: recorded trials with metrics that the other method had no use for.
        notes: what a reader of the numbers should know, in sentences.
        result: the whole simulation.
    """

    recorded: Side
    other: Side
    account: Account
    workers: int
    extrapolate: str
    smaller_is_better: bool
    unused: int
    notes: tuple[str, ...]
    result: SimulationResult

    def plot(self, path: str | Path | None = None) -> Any:
        """A Matplotlib figure of the best metric against the units that were trained, of both searches.

        Raises:
            InvalidInput: it cannot be written there.
            MissingExtra: Matplotlib is not installed.
        """
        from determined.simulator.plot import drawing, save

        figure, axis = drawing("units trained", "best metric")
        for side in (self.recorded, self.other):
            ends = [*side.best, Point(side.units, side.best[-1].metric)] if side.best else []
            axis.step([p.units for p in ends], [p.metric for p in ends], where="post", label=side.name)
        axis.legend(frameon=False)
        if path is not None:
            save(figure, path)
        return figure


def what_if(
    recordings: Sequence[Recording],
    make: Callable[[], SearchMethod],
    *,
    workers: int | None = None,
    extrapolate: str = "hold",
    seed: int = 0,
    name: str | None = None,
) -> Comparison:
    """Let a method search over recorded trials.

    Args:
        recordings: of one or several experiments with the same metric and unit, each once; their trials are used in
            this order.
        make: makes the method.
        workers: how many trials train at once; by default as many as there were at most in a recording.
        extrapolate: what a trial reports beyond what was recorded of it; see ``RecordedTrials``.
        seed: of what is drawn when there are too few recorded trials.
        name: of the method, for people; by default that of its class.

    Raises:
        InvalidInput: the recordings do not go together, have no curves, or an argument is out of its range.
        Exception: whatever the method raises.

    Cost: that of a simulation; the recordings are read several times.
    """
    _check(recordings)
    curves = [curve for recording in recordings for curve in recording.curves()]
    method = make()
    trials = RecordedTrials(method, curves, extrapolate=extrapolate, seed=seed)
    smaller = recordings[0].config.searcher.smaller_is_better
    places = max(map(most_at_once, recordings)) if workers is None else workers
    if places < 1:
        raise InvalidInput(f"{places} trials at once train nothing; use workers=1 or more")
    result = simulate(
        trials,
        curve=trials.metric,
        workers=places,
        seed=seed,
        smaller_is_better=smaller,
        trials=TrialModel(report_every=None),
        limits=Limits(max_events=5_000_000),
    )
    longest = max([int(curve.lengths[-1]) for curve in curves] + [trial.length for trial in result.trials])
    return Comparison(
        recorded=_recorded_side(recordings, smaller, longest),
        other=_simulated_side(name or type(method).__name__, result, longest),
        account=trials.account,
        workers=places,
        extrapolate=extrapolate,
        smaller_is_better=smaller,
        unused=trials.unused,
        notes=tuple(_notes(recordings, len(curves), trials.unused)),
        result=result,
    )


def most_at_once(recording: Recording) -> int:
    """How many trials had a process at the same time, at most; at least 1."""
    running: set[tuple[int, int]] = set()
    most = 1
    for _, fact, _ in recording.steps():
        if isinstance(fact, facts.SlotsGranted):
            running.add((fact.trial_id, fact.run_id))
            most = max(most, len(running))
        elif isinstance(fact, facts.RunExited):
            running.discard((fact.trial_id, fact.run_id))
    return most


def _check(recordings: Sequence[Recording]) -> None:
    if not recordings:
        raise InvalidInput("name at least one recorded experiment")
    first = recordings[0].config.searcher
    for recording in recordings[1:]:
        searcher = recording.config.searcher
        for what in ("metric", "smaller_is_better", "unit"):
            mine, theirs = getattr(first, what), getattr(searcher, what)
            if mine != theirs:
                raise InvalidInput(
                    f"{recordings[0].name} and {recording.name} do not go together: their searcher.{what} is {mine!r} "
                    f"and {theirs!r}; compare experiments that measure the same"
                )

    for number, recording in enumerate(recordings):
        if any(_is_same_search(recording, other) for other in recordings[:number]):
            raise InvalidInput(
                f"{recording.name} is named twice; name each experiment once, or its trials would count double"
            )


def _is_same_search(one: Recording, other: Recording) -> bool:
    """Whether two recordings are of one experiment, perhaps at different times."""
    # Facts carry their time and the trials' request ids.
    return all(mine == theirs for mine, theirs in zip(one.rows, other.rows, strict=False))


def _notes(recordings: Sequence[Recording], curves: int, unused: int) -> Iterator[str]:
    """What the numbers do not tell."""
    first = recordings[0]
    spaces = first.config.hyperparameters
    if any(recording.config.hyperparameters != spaces for recording in recordings[1:]):
        other = next(r for r in recordings[1:] if r.config.hyperparameters != spaces)
        yield (
            f"{_capital(first.name)} and {other.name} have different search spaces; their trials are taken as if they "
            "had been drawn from one."
        )
    silent = sum(len(recording.trials()) for recording in recordings) - curves
    if silent:
        yield f"{silent} of the recorded trials reported no number as the searched metric, and stand for none."
    if unused:
        yield f"{unused} of the {curves} recorded trials with a metric were never used: fewer trials were asked for."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _recorded_side(recordings: Sequence[Recording], smaller: bool, longest: int) -> Side:
    """The recorded searches as one: their units add up, one after the other."""
    reached: dict[tuple[int, int], int] = {}
    results = sorted(
        (validation.at, number, trial.id, validation.length, validation.metric)
        for number, recording in enumerate(recordings)
        for trial in recording.trials()
        for validation in trial.validations
        if _is_finite(validation.metric)
    )
    units, points = 0.0, []
    for _, number, trial_id, length, metric in results:
        before = reached.get((number, trial_id), 0)
        units += max(length - before, 0)
        reached[number, trial_id] = max(length, before)
        points.append(Point(units, float(metric)))
    trials = sum(len(recording.trials()) for recording in recordings)
    full = sum(length >= longest for length in reached.values())
    return Side("recorded", trials, full, units, tuple(_improvements(points, smaller)))


def _simulated_side(name: str, result: SimulationResult, longest: int) -> Side:
    full = sum(trial.length >= longest for trial in result.trials)
    best = tuple(Point(best.units, best.metric) for best in result.best_so_far)
    return Side(name, len(result.trials), full, result.units, best)


def _improvements(points: Sequence[Point], smaller: bool) -> Iterator[Point]:
    best = math.inf
    for point in points:
        loss = point.metric if smaller else -point.metric
        if loss < best:
            best = loss
            yield point


def _is_finite(metric: Any) -> bool:
    return isinstance(metric, (int, float)) and not isinstance(metric, bool) and math.isfinite(metric)
