"""The ladder of a search: which trials brought which results to which length, and who was sent on.

It is derived from what any search method hears and says, not from what it is: a rung is a length to which trials were
asked to train, and a trial is promoted when it is asked to train further. Brackets are told apart where the method's
reasons name them.
"""

from __future__ import annotations

import bisect
import enum
import math
from array import array
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

NO_BRACKET: Final = -1
OUTCOMES: Final = ("promoted", "waiting", "ended", "running")
Json = dict[str, Any]
_Result = tuple[int, "float | None", str]


class Step(enum.IntEnum):
    """What happened to a trial."""

    ASKED = 0
    """The search method asked it to train to a length."""
    RESULT = 1
    """It brought a result to a length."""
    ENDED = 2
    """It was closed, or is over; without a trial: the whole search is."""


class Steps:
    """Everything that happened on the ladder, in order; about 40 bytes each."""

    def __init__(self) -> None:
        self._kinds = bytearray()
        self._events = array("q")
        self._trials = array("q")
        self._lengths = array("q")
        self._metrics = array("d")
        self._brackets = array("i")

    def __len__(self) -> int:
        return len(self._kinds)

    def add(
        self,
        kind: Step,
        event: int,
        trial: int,
        length: int = 0,
        metric: float = math.nan,
        bracket: int = NO_BRACKET,
    ) -> None:
        """One more; ``event`` is the one that it is, or that it answers."""
        self._kinds.append(kind)
        self._events.append(event)
        self._trials.append(trial)
        self._lengths.append(length)
        self._metrics.append(metric)
        self._brackets.append(bracket)

    def until(self, event: int, start: int = 0) -> Iterator[tuple[int, int, int, float, int]]:
        """Kind, trial, length, metric and bracket of each up to an event, from the one of a number on."""
        for number in range(start, len(self)):
            if self._events[number] <= event:
                yield (
                    self._kinds[number],
                    self._trials[number],
                    self._lengths[number],
                    self._metrics[number],
                    self._brackets[number],
                )

    def newest_trials(self, event: int, number: int) -> set[int]:
        """The trials of the last steps up to an event: those that somebody who looks at it wants to see."""
        place = bisect.bisect_right(self._events, event)
        return set(self._trials[max(place - number, 0) : place])


@dataclass(slots=True)
class _Rung:
    """Results by trial, and the trials that are on their way."""

    results: dict[int, tuple[float, str]] = field(default_factory=dict)
    running: dict[int, None] = field(default_factory=dict)


_Place = tuple[int, int]
"""Bracket and length."""


class Ladder:
    """The state of all rungs, as far as steps have been taken."""

    def __init__(self) -> None:
        self.rungs: dict[_Place, _Rung] = {}
        self._bracket: dict[int, int] = {}
        self._heading: dict[int, _Place] = {}
        self._holding: dict[int, _Place] = {}

    def take(self, kind: int, trial: int, length: int, metric: float, bracket: int) -> None:
        """Take one step."""
        if kind == Step.ASKED:
            self._ask(trial, length, bracket)
        elif kind == Step.RESULT:
            self._bring(trial, length, metric)
        elif trial:
            self._end(trial)
        else:
            for open_one in [*self._heading, *self._holding]:
                self._end(open_one)

    def _ask(self, trial: int, length: int, bracket: int) -> None:
        if bracket != NO_BRACKET:
            self._bracket[trial] = bracket
        before = self._heading.pop(trial, None)
        if before is not None:
            self.rungs[before].running.pop(trial, None)
        held = self._holding.pop(trial, None)
        if held is not None:
            self._mark(trial, held, "promoted")
        place = (self._bracket.get(trial, NO_BRACKET), length)
        self._heading[trial] = place
        self._rung(place).running[trial] = None

    def _bring(self, trial: int, length: int, metric: float) -> None:
        place = self._heading.pop(trial, (self._bracket.get(trial, NO_BRACKET), length))
        rung = self._rung(place)
        rung.running.pop(trial, None)
        rung.results[trial] = (metric, "waiting")
        self._holding[trial] = place

    def _end(self, trial: int) -> None:
        heading, holding = self._heading.pop(trial, None), self._holding.pop(trial, None)
        if heading is not None:
            self.rungs[heading].running.pop(trial, None)
        if holding is not None:
            self._mark(trial, holding, "ended")

    def _mark(self, trial: int, place: _Place, state: str) -> None:
        results = self.rungs[place].results
        results[trial] = (results[trial][0], state)

    def _rung(self, place: _Place) -> _Rung:
        return self.rungs.setdefault(place, _Rung())

    def shown(self, smaller_is_better: bool, limit: int | None = None, wanted: Collection[int] = ()) -> list[Json]:
        """Brackets with their rungs, lowest first; results best first, then the trials that are on their way.

        Args:
            limit: results of each rung that are shown at most, beside those of wanted trials; None for all.
            wanted: trials that are always shown.
        """
        sign = 1.0 if smaller_is_better else -1.0
        brackets: dict[int, list[Json]] = {}
        for (bracket, length), rung in sorted(self.rungs.items()):
            results = _ranked(rung, sign)
            counts = Counter(state for _, _, state in results)
            promoted = (metric for _, metric, state in reversed(results) if state == "promoted" and metric is not None)
            shown = {
                "length": length,
                "counts": {outcome: counts[outcome] for outcome in OUTCOMES},
                "results": results if limit is None else sample(results, limit, wanted),
                "cut": next(promoted, None),
            }
            brackets.setdefault(bracket, []).append(shown)
        return [{"bracket": None if n == NO_BRACKET else n, "rungs": rungs} for n, rungs in brackets.items()]


def _ranked(rung: _Rung, sign: float) -> list[_Result]:
    # Tuples are compared far faster than by a function; there may be tens of thousands.
    ranked = sorted(
        (math.inf if math.isnan(metric) else sign * metric, trial, metric, state)
        for trial, (metric, state) in rung.results.items()
    )
    found: list[_Result] = [(trial, m if math.isfinite(m) else None, state) for _, trial, m, state in ranked]
    return [*found, *((trial, None, "running") for trial in rung.running)]


def sample(results: list[_Result], limit: int, wanted: Collection[int]) -> list[_Result]:
    """So many results in the same order: a quarter on their way, a quarter the best, and the others by rank, evenly.

    Those of wanted trials are there in any case. The last of the others, the worst, is always among them.
    """
    if len(results) <= limit:
        return results
    coming = next((place for place, result in enumerate(results) if result[2] == "running"), len(results))
    kept = set(range(coming, min(len(results), coming + limit // 4)))
    best = min(coming, limit // 4)
    kept.update(range(best))
    places = min(limit - len(kept), coming - best)
    kept.update(best + (place + 1) * (coming - best) // places - 1 for place in range(places))
    kept.update(place for place, result in enumerate(results) if result[0] in wanted)
    return [results[place] for place in sorted(kept)]
