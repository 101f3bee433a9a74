"""Which point a search would recommend at some moment, by one rule for all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from bench.quality.problems import Problem


class Report(NamedTuple):
    """A trial has trained for a length."""

    time: float
    trial: int
    length: int
    value: float


class Trace(NamedTuple):
    """A whole search: what was reported, in order, and the point of each trial."""

    reports: Sequence[Report]
    points: Sequence[dict[str, Any]]


def regrets(trace: Trace, problem: Problem, times: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Normalised regret at each of some ascending times, by two rules.

    First: the trial with the best report at the longest length that any trial has reached. Second: the trial with the
    best report of all. Before there is any report, it is that of the first trial.
    """
    longest: list[float] = []
    best: list[float] = []
    at_longest, of_all = (0, math.inf, 0), (math.inf, 0)
    reports = iter([*trace.reports, Report(math.inf, 0, 0, math.inf)])
    report = next(reports)
    for time in times:
        # Times of the tools are sums in different orders.
        while report.time <= time + 1e-6:
            if report.length > at_longest[0] or (report.length == at_longest[0] and report.value < at_longest[1]):
                at_longest = (report.length, report.value, report.trial)
            if report.value < of_all[0]:
                of_all = (report.value, report.trial)
            report = next(reports)
        longest.append(problem.regret(trace.points[at_longest[2]]))
        best.append(problem.regret(trace.points[of_all[1]]))
    return tuple(longest), tuple(best)
