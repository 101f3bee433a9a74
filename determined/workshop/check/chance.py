"""Faults that the same world shows once and not again: chance decides in the method, where nobody can repeat it."""

from __future__ import annotations

from collections.abc import Sequence

from determined.workshop.check import story
from determined.workshop.check.findings import Finding, Kind
from determined.workshop.check.moves import Move, Setting
from determined.workshop.check.play import Outcome
from determined.workshop.check.shorten import Replayer, shorten

ATTEMPTS = 1000
"""How often a story of chance is played, until it shows its fault again."""
_TRIES = 5
"""How often a world has to show a fault in a row, to be believed that it always does."""
_TRIES_EACH = 10
"""How often each world is played that may be a shorter story of chance."""
_MOST_WORK = 2_000
_MOST_WORK_SHORTENING = 8_000


def confirmed(found: Outcome, replay: Replayer, *, repeatable: bool) -> Outcome:
    """The same outcome; when its world, played again, does not always show the fault, that is the finding.

    Args:
        repeatable: the method promises equal answers to equal events.
    """
    if found.finding is None or _is_shown_again(found, replay):
        return found
    found.finding = by_chance(found.finding, repeatable=repeatable)
    short = shorten(found, _Retrying(replay, repeatable))
    short.by_chance = True
    return short


def by_chance(finding: Finding, *, repeatable: bool) -> Finding:
    """What is told of a finding that does not come each time: of a method that is to be repeatable, that it is not."""
    rarely = "It comes by chance: the same world, played again, does not always show it."
    if not repeatable or finding.kind is Kind.RANDOM:
        return Finding(finding.kind, f"{finding.text} {rarely}", finding.story)
    once = f"{finding.kind.value}: {finding.text.removesuffix(story.ADVICE.get(finding.kind, ''))}"
    text = f"this is what happened once, {once} {rarely}{story.ADVICE[Kind.RANDOM]}"
    return Finding(Kind.RANDOM, text, finding.story)


def _is_shown_again(found: Outcome, replay: Replayer) -> bool:
    work = 0
    for _ in range(_TRIES):
        again = replay(found.setting, found.moves)
        if again.finding is None or found.finding is None or again.finding.kind is not found.finding.kind:
            return False
        work += again.work
        if work > _MOST_WORK:
            break
    return True


class _Retrying:
    """Plays a world several times, until it fails, as long as that does not take too much in all."""

    def __init__(self, replay: Replayer, repeatable: bool) -> None:
        self.replay = replay
        self.repeatable = repeatable
        self.work = 0

    def __call__(self, setting: Setting, moves: Sequence[Move]) -> Outcome:
        outcome = Outcome(setting, list(moves))
        for _ in range(_TRIES_EACH):
            if self.work > _MOST_WORK_SHORTENING:
                break
            outcome = self.replay(setting, moves)
            self.work += outcome.work
            if outcome.finding is not None:
                outcome.finding = by_chance(outcome.finding, repeatable=self.repeatable)
                break
        return outcome
