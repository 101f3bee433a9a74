"""Runs a search and counts what some of its events take: steps of the interpreter, and members that C walks over."""

from __future__ import annotations

import gc
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from determined.domain.events import SearcherEvent
from determined.workshop.check.answers import Answer
from determined.workshop.check.moves import Move, Setting, finish
from determined.workshop.check.play import Play, Subject
from determined.workshop.check.saved import saved_bytes
from determined.workshop.check.shared import Process
from determined.workshop.check.world import World

WORKERS = 8
_HERE = str(Path(__file__).parent)
_GOLDEN = (5**0.5 - 1) / 2
_HANDLER_OF = {
    "TrialCreated": "on_trial_created",
    "TrialProgress": "progress",
    "ValidationCompleted": "on_validation_completed",
    "TrialExitedEarly": "on_trial_exited_early",
    "TrialClosed": "on_trial_closed",
}

Kind = tuple[str, ...]
"""A handler, and the verbs of what it answered in their order by name: events of one kind have alike work to do."""
Steps = Counter[CodeType]


class TooSlow(Exception):
    """The search has used up its time; the text says which."""


class Broken(Exception):
    """The search has shown a fault; the text says where and which."""


@dataclass(slots=True)
class Counts:
    """What one search cost.

    Attributes:
        trials: that it made.
        saved_bytes: what its state takes at the end; None when it is not saved as values or files.
        steps: of each event that was counted, by kind and code.
    """

    trials: int = 0
    saved_bytes: int | None = None
    steps: dict[Kind, list[Steps]] = field(default_factory=lambda: defaultdict(list))

    @property
    def mean(self) -> float:
        """Mean steps of all events that were counted."""
        totals = [steps.total() for found in self.steps.values() for steps in found]
        return sum(totals) / max(len(totals), 1)


class CountedPlay(Play):
    """A search of one size without failures.

    Args:
        counting: counts; one for all searches that are compared.
        trials: how many it is to make.
        share: of the events in its second half, how many are counted.
        limit_s: processor time for the whole of it.
    """

    def __init__(
        self, subject: Subject, folder: Path, counting: Counting, *, trials: int, share: float, limit_s: float
    ) -> None:
        self.counting = counting
        self.counts = Counts()
        self.trials = trials
        self.share = share
        self.turn = 0.0
        self.ends_at = time.process_time() + limit_s
        super().__init__(subject, Setting(WORKERS), folder, [self.counting])

    def play(self) -> Counts:
        """Run it.

        Raises:
            TooSlow: it takes more time than it may.
            Broken: it does not come to its end.
        """
        finding = self.run(_Busy()).finding
        if finding is not None:
            raise Broken(f"in a search of {self.trials} trials: {finding.kind.value}: {finding.text}")
        self.counts.trials = len(self.judge.trials)
        self.counts.saved_bytes = saved_bytes(self.steady.method, self.steady.state, self.folder)
        return self.counts

    def _handle(self, event_id: int, event: SearcherEvent) -> Answer:
        if time.process_time() > self.ends_at:
            raise TooSlow(f"a search of {self.trials} trials")
        handler = _HANDLER_OF.get(type(event).__name__)
        steps = self.counting.steps = Counter() if handler is not None and self._is_counted() else None
        answer = super()._handle(event_id, event)
        if handler is not None and steps is not None:
            kind = (handler, *sorted(order.verb for order in answer.orders))
            self.counts.steps[kind].append(steps)
        return answer

    def _is_counted(self) -> bool:
        if len(self.judge.trials) < self.trials / 2:
            return False
        # Spread evenly, and in step with nothing that a method does every so many events.
        self.turn = (self.turn + _GOLDEN) % 1.0
        return self.turn < self.share


class Counting(Process):
    """Counts the steps of what runs in it.

    Attributes:
        steps: where to; None for not at all.
    """

    def __init__(self) -> None:
        self.steps: Steps | None = None
        self._is_running = False

    def walk(self, code: CodeType, number: int) -> None:
        """Take note that one call of C code has walked over so many members."""
        if self.steps is not None and self._is_running:
            self.steps[code] += number

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count, and leave other tracing, a debugger's or that of a coverage tool, as it was."""
        steps = self.steps
        if steps is None:
            yield
            return

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

        before, collects = sys.gettrace(), gc.isenabled()
        # Others are told of each collection, in Python, and it comes at any moment.
        gc.disable()
        self._is_running = True
        sys.settrace(enter)
        try:
            yield
        finally:
            sys.settrace(before)
            self._is_running = False
            if collects:
                gc.enable()


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
