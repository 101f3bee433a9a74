"""Asynchronous successive halving in several brackets, which stop trials earlier or later (adaptive ASHA)."""

from __future__ import annotations

from collections.abc import Sequence

from determined.domain.space import SpaceLike
from determined.errors import InvalidInput
from determined.methods.arguments import at_least, check_divisor, check_flags, exact
from determined.methods.brackets import BracketSearch
from determined.methods.halving import Plan, rung_lengths

MODES = ("aggressive", "standard", "conservative")


class AdaptiveASHASearch(BracketSearch):
    """Brackets of ASHA with different numbers of rungs, side by side: a hedge against stopping trials too early.

    A bracket with k rungs gets a share of the trials in proportion to ``divisor**(k - 1) / k``, so that each bracket
    trains about as much as the others. Routing, state and cost: see ``BracketSearch`` and ``Bracket``.

    Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020, section 3; the shares are
    those of Hyperband (Li et al., JMLR 2018, Algorithm 1).

    Args:
        space: what points are drawn from, at random.
        max_length: how long the longest trials train, in the experiment's unit.
        max_trials: how many trials are started in all; a few more if there are more brackets than that.
        bracket_rungs: the number of rungs of each bracket; empty to derive them.
        mode: which brackets are derived, of those with 1 to r rungs: only the one with r (aggressive), the upper half
            (standard), or all (conservative).
        divisor: one trial in so many is promoted; eta in the papers.
        max_rungs: upper bound of r, which is also bounded by ``max_length`` and ``max_trials``.
        max_concurrent_trials: how many trials train at any time, divided evenly among the brackets, at least one for
            each; 0: as many for each as the last bracket has trials, at least ``divisor``.
        stop_once: stop trials for good as soon as they have reported, instead of promoting the best later on.
        smaller_is_better: direction of the metric.
        seed: the same seed draws the same points.

    Raises:
        InvalidInput: an argument is out of range.
    """

    def __init__(
        self,
        space: SpaceLike,
        max_length: int,
        max_trials: int,
        *,
        bracket_rungs: Sequence[int] = (),
        mode: str = "standard",
        divisor: float = 4,
        max_rungs: int = 5,
        max_concurrent_trials: int = 16,
        stop_once: bool = False,
        smaller_is_better: bool = True,
        seed: int = 0,
    ) -> None:
        at_least(1, max_length=max_length, max_trials=max_trials, max_rungs=max_rungs)
        at_least(0, max_concurrent_trials=max_concurrent_trials)
        check_flags(stop_once=stop_once, smaller_is_better=smaller_is_better)
        check_divisor(divisor)
        rungs = _listed(bracket_rungs) or derive_rungs(max_length, max_trials, mode, divisor, max_rungs)
        lengths = [rung_lengths(max_length, divisor, number) for number in rungs]
        trials = divide_trials(max_trials, divisor, rungs)
        concurrent = divide_concurrency(max_concurrent_trials, divisor, trials)
        plans = [
            Plan(lengths[i], trials[i], concurrent[i], divisor, stop_once, smaller_is_better, number=i)
            for i in range(len(rungs))
        ]
        super().__init__(space, plans, seed)


def _listed(bracket_rungs: object) -> list[int]:
    """The numbers of rungs that were asked for, the largest first."""
    allowed = "bracket_rungs must be a list of whole numbers of at least 1, such as [3, 2, 1]"
    if not isinstance(bracket_rungs, Sequence) or isinstance(bracket_rungs, (str, bytes)):
        raise InvalidInput(f"{allowed}; got {bracket_rungs!r:.80}")
    for number in bracket_rungs:
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise InvalidInput(f"{allowed}; got {number!r:.80} in it")
    return sorted(bracket_rungs, reverse=True)


def most_rungs(max_length: int, max_trials: int, divisor: float, max_rungs: int) -> int:
    """How many rungs a bracket may have: each takes a factor ``divisor`` of the longest length, and of the trials."""
    number, factor = 1, exact(divisor)
    while number < max_rungs and factor <= min(max_length, max_trials):
        number, factor = number + 1, factor * exact(divisor)
    return number


def derive_rungs(max_length: int, max_trials: int, mode: str, divisor: float, max_rungs: int) -> list[int]:
    """The number of rungs of each bracket, the largest first.

    Raises:
        InvalidInput: the mode is unknown.
    """
    most = most_rungs(max_length, max_trials, divisor, max_rungs)
    least = {"aggressive": most, "standard": (most - 1) // 2 + 1, "conservative": 1}.get(mode)
    if least is None:
        raise InvalidInput(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    return list(range(most, least - 1, -1))


def divide_trials(max_trials: int, divisor: float, rungs: Sequence[int]) -> list[int]:
    """How many trials each bracket gets: at least one, and what rounding down leaves over goes to the first."""
    base = exact(divisor)
    weights = [base ** (number - 1) / number for number in rungs]
    total = sum(weights)
    shares = [max(int(weight / total * max_trials), 1) for weight in weights]
    shares[0] += max(max_trials - sum(shares), 0)
    return shares


def divide_concurrency(max_concurrent_trials: int, divisor: float, trials: Sequence[int]) -> list[int]:
    """How many trials each bracket starts with."""
    if max_concurrent_trials == 0:
        return [max(trials[-1], int(divisor))] * len(trials)
    each, over = divmod(max(max_concurrent_trials, len(trials)), len(trials))
    return [each + (i < over) for i in range(len(trials))]
