"""Whether the cost of an event grows with the number of trials: counted in steps of the interpreter, not in seconds.

What is counted are the bytecodes that Python executes while the method is asked. A loop or a comprehension over all
trials is seen at once; work inside of one call of C code, such as ``sorted(numbers)`` or ``x in a_list``, is not.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from determined.domain.search_method import SearchMethod
from determined.workshop.check.findings import Finding, Kind, Step
from determined.workshop.check.moves import Move, Setting, finish
from determined.workshop.check.play import Play, Subject
from determined.workshop.check.rules import Budget
from determined.workshop.check.shared import Process
from determined.workshop.check.world import World

Sized = Callable[[int], SearchMethod]
"""Makes the method for a search of so many trials."""

SIZES = (40, 80, 160)
"""Numbers of trials of the searches that are compared; each twice the one before."""
_LINEAR = 1.5
"""From one size to the next, a logarithm grows as much as before, and what is linear grows twice as much."""
_LEAST = 80.0
"""Growth by fewer steps than this, over all sizes, is not told from chance."""
_WORKERS = 8
_HERE = str(Path(__file__).parent)
_HANDLER_OF = {
    "TrialCreated": "on_trial_created",
    "TrialProgress": "progress",
    "ValidationCompleted": "on_validation_completed",
    "TrialExitedEarly": "on_trial_exited_early",
    "TrialClosed": "on_trial_closed",
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one search cost.

    Attributes:
        trials: that it made.
        steps: counted, by handler and code.
        events: by handler.
    """

    trials: int
    steps: dict[str, Counter[CodeType]]
    events: Counter[str]

    def each(self, handler: str) -> float:
        """Mean steps of an event."""
        return self.steps[handler].total() / self.events[handler]

    @property
    def mean(self) -> float:
        """Mean steps of all events."""
        return sum(found.total() for found in self.steps.values()) / max(self.events.total(), 1)


def measure(sized: Sized, trials: int, subject: Subject, folder: Path) -> Cost:
    """Run a search of so many trials without failures, and count."""
    counting = _Counting()
    asked = replace(subject, make=lambda: sized(trials), budget=Budget(), max_events=200 * trials)
    play = _CountedPlay(asked, folder, counting)
    play.run(_Busy())
    return Cost(len(play.judge.trials), counting.steps, counting.events)


def judge(costs: Sequence[Cost]) -> Finding | None:
    """What grows like the number of trials; None when nothing does, or when the searches are not of such sizes.

    Args:
        costs: of three searches, each twice as large as the one before.
    """
    small, middle, large = costs
    if not 1.5 * small.trials < middle.trials < large.trials / 1.5:
        return None
    for handler in sorted(small.events.keys() & middle.events.keys() & large.events.keys()):
        first, second = (after.each(handler) - before.each(handler) for before, after in pairwise(costs))
        enough = small.events[handler] >= small.trials / 4
        if enough and first + second > _LEAST and second > _LINEAR * max(first, 0.0):
            return _finding(handler, costs)
    return None


def _finding(handler: str, costs: Sequence[Cost]) -> Finding:
    small, large = costs[0], costs[-1]

    def growth(code: CodeType) -> float:
        return large.steps[handler][code] / large.events[handler] - small.steps[handler][code] / small.events[handler]

    most = max(large.steps[handler], key=growth)
    name = getattr(most, "co_qualname", most.co_name)
    place = f"{name} ({Path(most.co_filename).name}, line {most.co_firstlineno})"
    text = (
        f"what {handler} takes grows with the number of trials. Most of the growth is in {place}. Keep sums, counts "
        "and sorted lists up to date instead of going through all trials at each event."
    )
    story = tuple(
        Step(
            f"in a search of {cost.trials} trials, {handler} takes {cost.each(handler):.0f} steps of Python on average"
        )
        for cost in costs
    )
    return Finding(Kind.COST, text, story)


class _Busy:
    """All trials do well, report progress, and their metrics differ."""

    def __init__(self) -> None:
        self.reported = ""
        self.number = 0

    def __call__(self, world: World) -> Move | None:
        move = finish(world)
        if move is None or move.verb != "validate":
            return move
        if self.reported != move.trial:
            self.reported = move.trial
            return Move("progress", move.trial, 0.5)
        self.reported = ""
        # Numbers that seem to have no order, and are the same each time.
        self.number = (self.number * 75 + 74) % 65537
        return move._replace(value=self.number / 65537)


class _CountedPlay(Play):
    """Says which handler is about to be called."""

    def __init__(self, subject: Subject, folder: Path, counting: _Counting) -> None:
        super().__init__(subject, Setting(_WORKERS), folder, [counting])
        self.counting = counting

    def _handle(self, event_id: int, event: Any) -> Any:
        self.counting.handler = type(event).__name__
        return super()._handle(event_id, event)


class _Counting(Process):
    """Counts the steps of what runs in it."""

    def __init__(self) -> None:
        self.handler = ""
        self.steps: dict[str, Counter[CodeType]] = {}
        self.events: Counter[str] = Counter()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count, and leave other tracing, a debugger's or that of a coverage tool, as it was."""
        handler = _HANDLER_OF.get(self.handler)
        if handler is None:
            yield
            return
        self.events[handler] += 1
        steps = self.steps.setdefault(handler, Counter())

        def count(frame: FrameType, event: str, arg: Any) -> Any:
            if event == "opcode":
                steps[frame.f_code] += 1
            return count

        def enter(frame: FrameType, event: str, arg: Any) -> Any:
            if frame.f_code.co_filename.startswith(_HERE):
                return None
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
            return count

        before = sys.gettrace()
        sys.settrace(enter)
        try:
            yield
        finally:
            sys.settrace(before)
