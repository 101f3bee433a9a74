"""What can happen next in a world: small choices, named so that a list of them can be played again and shortened."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from determined.domain.facts import Verb
from determined.workshop.check.world import World


class Move(NamedTuple):
    """One choice.

    Attributes:
        verb: one of those that ``possible`` knows.
        trial: the name of the trial that it is about, "" for none.
        value: the metric, the share of the length, the number of workers or of events.
    """

    verb: str
    trial: str = ""
    value: float = 0.0


VALUES: Mapping[str, tuple[float, ...]] = {
    "answer": (0, 1, 2),
    "validate": (0.5, 0.25, 0.75, 0.125, 0.875, math.nan, math.inf, -math.inf, 1e300, 0.0),
    "progress": (1.0, 0.5, 0.25),
    "workers": (4, 1, 0, 2, 8),
}
"""Values of the verbs that have some, the simplest first. ``answer`` 0 hands over all events that wait."""
COMMANDS: Mapping[str, Verb] = {
    "pause": Verb.PAUSE,
    "activate": Verb.ACTIVATE,
    "cancel": Verb.CANCEL,
    "end": Verb.KILL,
}


@dataclass(frozen=True, slots=True)
class Setting:
    """What does not change in a world, but its capacity at the beginning."""

    workers: int = 4
    max_restarts: int = 0


class Chooser(Protocol):
    """Picks the next move; None leaves the rest to ``finish``."""

    def __call__(self, world: World) -> Move | None:
        """The move."""


def possible(world: World) -> dict[str, list[str]]:
    """The verbs that make sense now, each with the trials that it may be about; the simplest first."""
    found: dict[str, list[str]] = {}
    working = [name for name in world.live if world.has_work(name)]
    verbs: Iterable[tuple[str, list[str]]] = (
        ("answer", [""] if world.queue else []),
        ("validate", working),
        ("leave", [name for name in world.live if world.may_leave(name)]),
        ("progress", working),
        ("repeat", [name for name in world.live if world.may_repeat(name)]),
        ("crash", list(world.live)),
        ("stop", [name for name in world.live if not world.is_asked(name)]),
        ("invalid", working),
        ("kill", world.open_trials()),
        ("workers", [""]),
        ("pause", [""] if world.is_active else []),
        ("activate", [""] if world.is_paused else []),
        ("cancel", [""] if world.is_running else []),
        ("end", [""] if world.is_running else []),
    )
    for verb, trials in verbs:
        if trials:
            found[verb] = trials
    return found


def scripted(moves: Iterable[Move]) -> Chooser:
    """Plays a list of moves; those that are impossible when their turn comes are left out."""
    rest: Iterator[Move] = iter(moves)

    def choose(world: World) -> Move | None:
        for move in rest:
            if move.trial in possible(world).get(move.verb, ()):
                return move
        return None

    return choose


def finish(world: World) -> Move | None:
    """How every world goes on after its choices: the user lets it run, and all trials do well. None when stuck."""
    if world.is_paused:
        return Move("activate")
    if world.workers < 1:
        return Move("workers", "", VALUES["workers"][0])
    if world.queue:
        return Move("answer")
    for name in world.live:
        if world.may_leave(name) and (world.is_asked(name) or world.is_closed(name)):
            return Move("leave", name)
    for name in world.live:
        if world.has_work(name):
            return Move("validate", name, VALUES["validate"][0])
    for name in world.live:
        return Move("leave", name)
    return None
