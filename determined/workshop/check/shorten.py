"""Drops from a story what the fault does not need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from determined.workshop.check.answers import letter
from determined.workshop.check.moves import VALUES, Move, Setting
from determined.workshop.check.play import Outcome

Replayer = Callable[[Setting, Sequence[Move]], Outcome]

MOST_TRIES = 250
MOST_WORK = 10_000


def shorten(failed: Outcome, replay: Replayer) -> Outcome:
    """The smallest world near a failed one that shows a fault of the same kind."""
    tries = work = 0
    best, candidates = failed, _smaller(failed)
    while tries < MOST_TRIES and work < MOST_WORK and (candidate := next(candidates, None)):
        tried = replay(*candidate)
        tries, work = tries + 1, work + tried.work
        if _is_smaller(tried, best):
            best, candidates = tried, _smaller(tried)
    return best


def _is_smaller(tried: Outcome, best: Outcome) -> bool:
    if tried.finding is None or best.finding is None or tried.finding.kind is not best.finding.kind:
        return False
    return (*tried.size, _oddness(tried)) < (*best.size, _oddness(best))


def _oddness(outcome: Outcome) -> int:
    odd = sum(VALUES[move.verb].index(move.value) for move in outcome.moves if _has_values(move))
    return odd + (outcome.setting != Setting())


def _has_values(move: Move) -> bool:
    # NaN is found where it is the very object of the table.
    return move.value in VALUES.get(move.verb, ())


def _smaller(outcome: Outcome) -> Iterator[tuple[Setting, list[Move]]]:
    """Candidates, those that leave out most first."""
    setting, moves = outcome.setting, outcome.moves
    length = len(moves)
    while length:
        for start in range(len(moves) - length, -1, -length):
            yield setting, moves[:start] + moves[start + length :]
        length //= 2
    for other in (Setting(workers, restarts) for restarts in (0, 1) for workers in (4, 8, 2, 1)):
        if other != setting:
            yield other, moves
    for at, move in enumerate(moves):
        if _has_values(move) and move.value != VALUES[move.verb][0]:
            yield setting, [*moves[:at], move._replace(value=VALUES[move.verb][0]), *moves[at + 1 :]]
    for length in (len(moves), 0) if moves else (0,):
        yield setting, moves[:length] + _TOGETHER


_FIRST = [letter(index) for index in range(8)]
_TOGETHER = [
    *(Move("validate", name, VALUES["validate"][0]) for name in _FIRST),
    *(Move("leave", name) for name in _FIRST),
    Move("answer"),
] * 8
"""All trials do in turn what they can, before the method is asked: what happens to several alike is told in one line.
What is impossible is left out."""
