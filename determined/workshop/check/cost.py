"""Whether the cost of an event grows with the number of trials: counted in steps of the interpreter, not in seconds.

Events are compared with their like, those of the same handler that were answered by the same operations, in searches
of which each is four times as large as the one before. A step is a bytecode that Python executes while the method is
asked, or a member that one call of C code, such as ``sorted(numbers)``, goes through.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import CodeType

from determined.domain.search_method import SearchMethod
from determined.workshop.check import findings, walks
from determined.workshop.check.counting import Broken, CountedPlay, Counting, Counts, Kind, TooSlow
from determined.workshop.check.findings import Finding, Step
from determined.workshop.check.growth import Sample, is_linear
from determined.workshop.check.play import Subject
from determined.workshop.check.rules import Budget
from determined.workshop.check.saved import growth_note

Sized = Callable[[int], SearchMethod]
"""Makes the method for a search of so many trials."""

SIZES = (15, 60, 240, 960)
"""Numbers of trials of the searches. The last three are compared; the first three when the last takes too long."""
LIMIT_S = 15.0
"""Processor time for one search."""
_HEAVY = 20_000.0
"""A method that takes so many steps for an event is not asked to run the largest search."""
_EVENTS, _FEWEST_EVENTS = 400, 100
"""How many events of a search are counted, and how many of a heavy method."""
_STEPS = 2_000_000.0
"""So many steps are counted in a search, about."""
_PER_TRIAL = 2.0
"""Events for each trial in the second half of a search, about."""
_LIBRARIES = ("site-packages", "dist-packages")
_OURS = str(Path(__file__).parent)


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found out.

    Attributes:
        steps: mean steps of an event in the second largest search, and in the largest.
        finding: None when nothing grows like the number of trials.
        notes: a sentence each.
    """

    steps: tuple[float, float]
    finding: Finding | None
    notes: tuple[str, ...]


class NotMeasured(Exception):
    """The cost could not be found out; the text says why."""


def measure(sized: Sized, subject: Subject, folder: Path) -> Measured:
    """Run searches of several sizes without failures, and compare them.

    Raises:
        NotMeasured: they cannot be run, or are not of such sizes.
    """
    try:
        counts, method = _run(sized, subject, folder)
    except TooSlow as error:
        raise NotMeasured(f"{error} takes too long") from error
    except Broken as error:
        raise NotMeasured(str(error)) from error
    except Exception as error:
        # With other numbers of trials its arguments may make no sense.
        text = f"the method cannot be made for other numbers of trials ({type(error).__name__}: {error})"
        raise NotMeasured(text) from error
    compared = counts[-3:]
    if any(after.trials <= 2 * before.trials for before, after in pairwise(compared)):
        asked, made = (", ".join(map(str, numbers)) for numbers in (SIZES, [count.trials for count in counts]))
        raise NotMeasured(f"searches that were to make {asked} trials made {made}")
    finding, note = judge(compared, _Place(method))
    _, middle, large = compared
    saved = growth_note((middle.trials, large.trials), (middle.saved_bytes, large.saved_bytes))
    return Measured((middle.mean, large.mean), finding, tuple(text for text in (note, saved) if text))


def judge(counts: Sequence[Counts], place: _Place) -> tuple[Finding | None, str | None]:
    """What grows like the number of trials: in the method's own code, or, as a note, in that of a library.

    Args:
        counts: of three searches, the smallest first.
    """
    growing: dict[Kind, Sequence[Sample]] = {}
    for kind in sorted(set.intersection(*(set(count.steps) for count in counts))):
        own = [_sample(count, kind, place.is_own) for count in counts]
        if is_linear(own):
            growing[kind] = own
    if growing:
        return _finding(max(growing, key=lambda kind: _factor(growing[kind])), counts, place), None
    for kind in sorted(set.intersection(*(set(count.steps) for count in counts))):
        if is_linear([_sample(count, kind, lambda code: True) for count in counts]):
            code = _most_growing(kind, counts, lambda code: not place.is_own(code))
            small, large = counts[0].trials, counts[-1].trials
            return None, (
                f"from {small} to {large} trials, {kind[0]} takes more and more steps in a library, most of them in "
                f"{_told(code)}"
            )
    return None, None


class _Place:
    """Which code is the method's own: all but that of installed packages that its classes do not come from.

    Args:
        method: one of those that were measured.
    """

    def __init__(self, method: SearchMethod) -> None:
        tops = {cls.__module__.partition(".")[0] for cls in type(method).__mro__}
        files = (getattr(sys.modules.get(top), "__file__", None) for top in tops)
        self._homes = tuple(file.removesuffix("__init__.py") for file in files if file)

    def is_own(self, code: CodeType) -> bool:
        """Whether its author can mend it."""
        file = code.co_filename
        return file.startswith(self._homes) or not any(part in _LIBRARIES for part in Path(file).parts)


def _run(sized: Sized, subject: Subject, folder: Path) -> tuple[list[Counts], SearchMethod]:
    counter = Counting()
    method = sized(SIZES[0])

    def search(trials: int, share: float) -> Counts:
        asked = replace(subject, make=lambda: sized(trials), budget=Budget(), max_events=200 * trials)
        play = CountedPlay(asked, folder, counter, trials=trials, share=share, limit_s=LIMIT_S)
        return play.play()

    # What this one runs says in which files there is something to count.
    first = search(SIZES[0], 1.0)
    counts: list[Counts] = []
    with walks.counted(_files([first], _Place(method)), counter.walk):
        for trials in SIZES:
            mean = counts[-1].mean if counts else 0.0
            if trials == SIZES[-1] and mean > _HEAVY:
                break
            events = min(_EVENTS, max(_FEWEST_EVENTS, _STEPS / (mean + 1)))
            try:
                counts.append(search(trials, events / (_PER_TRIAL * trials)))
            except TooSlow:
                if trials != SIZES[-1]:
                    raise
    return counts, method


def _files(counts: Iterable[Counts], place: _Place) -> set[str]:
    codes = {code for count in counts for found in count.steps.values() for steps in found for code in steps}
    files = {code.co_filename for code in codes if place.is_own(code)}
    return {file for file in files if not file.startswith(_OURS)}


def _sample(count: Counts, kind: Kind, is_counted: Callable[[CodeType], bool]) -> Sample:
    steps = [sum(n for code, n in each.items() if is_counted(code)) for each in count.steps[kind]]
    return Sample(count.trials, steps)


def _factor(samples: Sequence[Sample]) -> float:
    return samples[-1].mean / max(samples[-2].mean, 1.0)


def _finding(kind: Kind, counts: Sequence[Counts], place: _Place) -> Finding:
    code = _most_growing(kind, counts, place.is_own)
    handler, *verbs = kind
    text = (
        f"what {handler} takes grows with the number of trials. Most of the growth is in {_told(code)}. Keep sums, "
        "counts and sorted lists up to date instead of going through all trials at each event."
    )
    answer = f" and answers {', '.join(verbs)}" if verbs else ""
    story = tuple(
        Step(
            f"in a search of {count.trials} trials, when {handler} is called{answer}, it takes "
            f"{_sample(count, kind, place.is_own).mean:.0f} steps on average"
        )
        for count in counts
    )
    return Finding(findings.Kind.COST, text, story)


def _most_growing(kind: Kind, counts: Sequence[Counts], is_counted: Callable[[CodeType], bool]) -> CodeType:
    def growth(code: CodeType) -> float:
        before, after = (_sample(count, kind, code.__eq__).mean for count in (counts[0], counts[-1]))
        return after - before

    return max({code for steps in counts[-1].steps[kind] for code in steps if is_counted(code)}, key=growth)


def _told(code: CodeType) -> str:
    name = getattr(code, "co_qualname", code.co_name)
    return f"{name} ({Path(code.co_filename).name}, line {code.co_firstlineno})"
