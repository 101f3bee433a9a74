"""What a check can find, and how it is told."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass


class Kind(str, enum.Enum):
    """What is wrong with a search method; the value is what people read."""

    RAISES = "a handler raises"
    ANSWER = "an answer that cannot be taken"
    DEADLOCK = "deadlock"
    ENDLESS = "the search does not end"
    LEFT_BEHIND = "trials are left behind"
    OVER_TRIAL = "an operation for a trial that is over"
    UNKNOWN_TRIAL = "an operation for a trial that was never created"
    REUSED_ID = "a request id is used again"
    LENGTH = "a length does not grow"
    BUDGET = "more than the budget"
    PROGRESS_RANGE = "progress is not from 0 to 1"
    PROGRESS_FALLS = "progress falls"
    RELOAD = "the state does not survive a reload"
    SAVING = "saving changes the method"
    RANDOM = "the same events get different answers"
    SHARED = "state is kept outside of the object"
    SEARCHER_STATE = "the searcher state is changed"
    COST = "the cost of an event grows"


class Fault(Exception):
    """Raised inside of a world when it has shown that something is wrong."""

    def __init__(self, kind: Kind, text: str) -> None:
        self.kind = kind
        self.text = text
        super().__init__(f"{kind.value}: {text}")


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a story.

    Attributes:
        event: what happened, e.g. ``trial a validates 0.5 at 1``.
        answer: the operations that answered it; None where the method is not asked.
        progress: what the method said with that answer; None when it was not asked.
    """

    event: str
    answer: tuple[str, ...] | None = None
    progress: float | None = None

    def __str__(self) -> str:
        if self.answer is None:
            return self.event
        said = "" if self.progress is None else f"; progress {self.progress:.6g}"
        return f"{self.event} -> {', '.join(self.answer) or '[]'}{said}"


SHOWN_FIRST, SHOWN_LAST = 12, 24
"""How many steps of a long story are printed, from its beginning and from its end."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and the shortest story that was found for it."""

    kind: Kind
    text: str
    story: tuple[Step, ...] = ()

    def __str__(self) -> str:
        return "\n".join([*numbered(self.story), f"  => {self.kind.value}: {self.text}"])


def numbered(story: Sequence[Step]) -> list[str]:
    """The steps as lines, with a gap in long stories."""
    lines = [f"{number:>3}. {step}" for number, step in enumerate(story, 1)]
    left_out = len(lines) - SHOWN_FIRST - SHOWN_LAST
    if left_out <= 1:
        return lines
    return [*lines[:SHOWN_FIRST], f"     ... {left_out} more steps ...", *lines[-SHOWN_LAST:]]


class CheckFailed(AssertionError):
    """A search method has a fault.

    Attributes:
        finding: what, and the story.
        name: of the method.
        file: path of the file that reproduces it, "" when none was written.
    """

    def __init__(self, name: str, finding: Finding, file: str = "") -> None:
        self.name = name
        self.finding = finding
        self.file = file
        again = f"\nTo see it again: python {file}" if file else ""
        super().__init__(f"{name}: {finding.kind.value}\n{finding}{again}")


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was tried, and nothing was found.

    Attributes:
        worlds: histories that were played to their end.
        events, reloads: in all of them together.
        cost: counted steps of Python per event in a small and in a larger search; None when that was not measured.
        notes: what is allowed, but worth knowing; one sentence each.
    """

    name: str
    worlds: int
    events: int
    reloads: int
    cost: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        cost = (
            ""
            if self.cost is None
            else f", {self.cost[0]:.0f} then {self.cost[1]:.0f} steps per event at four times the trials"
        )
        line = f"{self.name} passes: {self.worlds} worlds, {self.events} events, {self.reloads} reloads{cost}"
        return "\n".join([line, *(f"note: {note}" for note in self.notes)])
