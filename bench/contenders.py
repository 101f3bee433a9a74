"""Several tools that do the same work, taken in turns, so that what else the machine does meets all of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.support import Check

Measured = Mapping[str, Any]


@dataclass(frozen=True)
class Contender:
    """One way to run trials.

    Attributes:
        name: for the table.
        run: runs so many trials, and says what it measured.
        trials: how many at a time.
        times: how often.
        isolated: whether each trial is a process of its own.
        ahead: how many times as good ours has to be; none: any.
    """

    name: str
    run: Callable[[int], Measured]
    trials: int
    times: int = 1
    isolated: bool = True
    ahead: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What a contender measured, in the order of its runs."""

    contender: Contender
    runs: list[Measured] = field(default_factory=list)

    def values(self, name: str) -> list[float]:
        """One of the figures, of each run."""
        return [run[name] for run in self.runs]

    def median(self, name: str) -> float:
        """Of one of the figures, over the runs."""
        return statistics.median(self.values(name))


def in_turns(contenders: Sequence[Contender]) -> list[Outcome]:
    """Run the first of each, then the second of each that has one, and so on."""
    outcomes = [Outcome(contender) for contender in contenders]
    for turn in range(max(contender.times for contender in contenders)):
        for outcome in outcomes:
            if turn < outcome.contender.times:
                outcome.runs.append(outcome.contender.run(outcome.contender.trials))
    return outcomes


def spread(values: Sequence[float]) -> str:
    """The median, and between which values it lies."""
    median = f"{statistics.median(values):.3g}"
    return median if len(values) == 1 else f"{median} [{min(values):.3g} .. {max(values):.3g}]"


def lead(outcome: Outcome, ratio: float, what: str) -> list[Check]:
    """The target of a contender, if it has one, when ours is so many times as good."""
    ahead = outcome.contender.ahead
    if ahead is None:
        return []
    text = f"at least {ahead:g} times {what} {outcome.contender.name}, {outcome.contender.trials} trials"
    return [Check(text, ratio, ratio >= ahead)]
