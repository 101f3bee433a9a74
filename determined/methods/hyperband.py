"""Hyperband without waiting: every bracket of successive halving, from the most daring to plain random search."""

from __future__ import annotations

import math
from fractions import Fraction

from determined.domain.space import SpaceLike
from determined.methods.adaptive_asha import most_rungs
from determined.methods.arguments import at_least, check_divisor, check_flags, check_rungs, exact
from determined.methods.brackets import PooledBracketSearch
from determined.methods.halving import Plan, rung_lengths


class HyperbandSearch(PooledBracketSearch):
    """All brackets with 1 to r rungs, which share one pool of places.

    Source: Li et al., Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization, JMLR 2018, Algorithm 1;
    its brackets here are the asynchronous ones of ``Bracket``, so that no place waits for a rung to fill.

    The paper gives the bracket with s + 1 of r rungs ``n_s = ceil(r / (s + 1) * divisor**s)`` trials, so that each
    bracket trains about as much as the others, and plays one bracket after the other, again and again. Here
    ``max_trials`` are divided in proportion to n_s: one for each bracket, the rest by share, and what rounding down
    leaves over for the bracket with the most rungs. Places are shared as in ``PooledBracketSearch``; ``adaptive_asha``
    differs in that each bracket keeps its own.

    State and cost: those of ``PooledBracketSearch``.

    Args:
        space: what points are drawn from, at random.
        max_length: how long the longest trials train, in the experiment's unit; R in the paper.
        max_trials: how many trials are started in all.
        divisor: one trial in so many is promoted; eta in the paper.
        max_rungs: upper bound of r, which is also bounded by ``max_length`` and ``max_trials``.
        max_concurrent_trials: how many trials train at any time; 0: ``divisor**(r - 1)``.
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
        most = most_rungs(max_length, max_trials, divisor, max_rungs)
        plans = divide_plans(
            max_length,
            max_trials,
            most,
            brackets=most,
            divisor=divisor,
            stop_once=stop_once,
            smaller_is_better=smaller_is_better,
        )
        super().__init__(space, plans, max_concurrent_trials or int(divisor ** (most - 1)), seed)


def divide_plans(
    max_length: int,
    max_trials: int,
    rungs: int,
    *,
    brackets: int,
    divisor: float,
    stop_once: bool,
    smaller_is_better: bool,
) -> list[Plan]:
    """Plans of the brackets with ``rungs``, ``rungs - 1``, ... rungs, numbered from 0; those without trials left out.

    Raises:
        InvalidInput: the rungs are too many, or the divisor is not greater than 1.
    """
    # Before the shares, whose weights would be as large as the rungs are many.
    check_divisor(divisor)
    check_rungs(rungs, divisor)
    return [
        Plan(rung_lengths(max_length, divisor, rungs - i), share, 0, divisor, stop_once, smaller_is_better, number=i)
        for i, share in enumerate(divide_by_budget(max_trials, divisor, rungs, brackets))
    ]


def divide_by_budget(max_trials: int, divisor: float, rungs: int, brackets: int) -> list[int]:
    """How many trials the brackets get, that with the most rungs first; brackets that would get none are left out.

    Args:
        rungs: of the first bracket; each other one has one less than that before.
        brackets: how many there are, at most ``rungs``.
    """
    base = exact(divisor)
    number = min(brackets, max_trials)
    weights = [math.ceil(Fraction(rungs, rungs - i) * base ** (rungs - 1 - i)) for i in range(number)]
    shares = [1 + weight * (max_trials - number) // sum(weights) for weight in weights]
    shares[0] += max_trials - sum(shares)
    return shares
