"""Virtual workers for other tools: a clock, and trials that report at each rung on their way."""

from __future__ import annotations

import heapq
from typing import Any, Protocol

from bench.quality.incumbents import Report, Trace
from bench.quality.problems import Problem

CONTINUE, PAUSE, STOP = "CONTINUE", "PAUSE", "STOP"


class Tool(Protocol):
    """What is asked of another tool."""

    def next(self) -> tuple[int, dict[str, Any]]:
        """What a free worker trains: the number of a trial, and its point if it is new."""

    def report(self, trial: int, length: int, value: float) -> str:
        """Whether a trial goes on, and if not, whether it may be resumed."""


def drive(tool: Tool, problem: Problem, workers: int, seed: int, until: float) -> Trace:
    """Search until a time on the virtual clock, on which a unit of training takes 1.

    Workers are never idle, switching trials costs nothing, and a paused trial goes on where it was. What happens at
    the same time happens in the order in which it was planned.
    """
    points: list[dict[str, Any]] = []
    reports: list[Report] = []
    lengths: list[int] = []
    clock: list[tuple[float, int, int]] = []
    planned = 0

    def train(trial: int, now: float) -> None:
        nonlocal planned
        planned += 1
        following = next(rung for rung in problem.rungs if rung > lengths[trial])
        heapq.heappush(clock, (now + following - lengths[trial], planned, trial))
        lengths[trial] = following

    def occupy(now: float) -> None:
        trial, point = tool.next()
        if trial == len(lengths):
            lengths.append(0)
            points.append(point)
        train(trial, now)

    for _ in range(workers):
        occupy(0.0)
    while clock[0][0] <= until + 1e-6:
        now, _, trial = heapq.heappop(clock)
        length = lengths[trial]
        value = problem.observe(points[trial], length, seed)
        reports.append(Report(now, trial, length, value))
        if tool.report(trial, length, value) == CONTINUE and length < problem.max_length:
            train(trial, now)
        else:
            occupy(now)
    return Trace(reports, points)
