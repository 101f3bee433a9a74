"""Hyperband without waiting: every bracket of successive halving, from the most daring to plain random search."""

from __future__ import annotations

import math
from fractions import Fraction

from determined.domain.operations import Operation
from determined.domain.search_method import SearcherState
from determined.domain.space import SpaceLike
from determined.methods.adaptive_asha import most_rungs
from determined.methods.arguments import at_least, check_divisor, check_flags, exact
from determined.methods.brackets import BracketSearch
from determined.methods.halving import Bracket, Plan, rung_lengths


class HyperbandSearch(BracketSearch):
    """All brackets with 1 to r rungs, which share one pool of places.

    Source: Li et al., Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization, JMLR 2018, Algorithm 1;
    its brackets here are the asynchronous ones of ``Bracket``, so that no place waits for a rung to fill.

    The paper gives the bracket with s + 1 of r rungs ``n_s = ceil(r / (s + 1) * divisor**s)`` trials, so that each
    bracket trains about as much as the others, and plays one bracket after the other, again and again. Here
    ``max_trials`` are divided in proportion to n_s: one for each bracket, the rest by share, and what rounding down
    leaves over for the bracket with the most rungs. A free place goes to the bracket that is furthest behind its share.
    So the trials are divided in this proportion at any time, also when a search is cut short, and a bracket that is
    complete leaves its places to the others. ``adaptive_asha`` differs in that each bracket keeps its own places.

    State and cost: those of ``Bracket``, plus O(brackets) per event.

    Args:
        space: what points are drawn from, at random.
        max_length: how long the longest trials train, in the experiment's unit; R in the paper.
        max_trials: how many trials are started in all.
        divisor: one trial in so many is promoted; eta in the paper.
        max_rungs: upper bound of r, which is also bounded by ``max_length`` and ``max_trials``.
        max_concurrent_trials: how many trials train at any time; 0: ``divisor**(r - 1)``.
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
        smaller_is_better: bool = True,
        seed: int = 0,
    ) -> None:
        at_least(1, max_length=max_length, max_trials=max_trials, max_rungs=max_rungs)
        at_least(0, max_concurrent_trials=max_concurrent_trials)
        check_flags(smaller_is_better=smaller_is_better)
        check_divisor(divisor)
        most = most_rungs(max_length, max_trials, divisor, max_rungs)
        self.concurrent = min(max_concurrent_trials or int(divisor ** (most - 1)), max_trials)
        plans = []
        for i, share in enumerate(divide_by_budget(max_trials, divisor, most)):
            lengths = rung_lengths(max_length, divisor, most - i)
            plans.append(Plan(lengths, share, 0, divisor, False, smaller_is_better, number=i))
        super().__init__(space, plans, seed)

    def initial_operations(self, state: SearcherState) -> list[Operation]:
        """The first trials, divided like all others."""
        operations: list[Operation] = []
        for _ in range(self.concurrent):
            operations += self._start(self._furthest_behind(), f"{self.concurrent} at a time")
        return operations

    def next_bracket(self, after: Bracket) -> Bracket | None:
        """The bracket that is furthest behind its share, wherever the place became free."""
        return self._furthest_behind() if any(bracket.wants_more for bracket in self.brackets) else None

    def _furthest_behind(self) -> Bracket:
        open_ones = (bracket for bracket in self.brackets if bracket.wants_more)
        return min(open_ones, key=lambda bracket: (bracket.started + 0.5) / bracket.plan.max_trials)


def divide_by_budget(max_trials: int, divisor: float, rungs: int) -> list[int]:
    """How many trials the brackets get, that with the most rungs first; brackets that would get none are left out."""
    base = exact(divisor)
    number = min(rungs, max_trials)
    weights = [math.ceil(Fraction(rungs, s + 1) * base**s) for s in range(rungs - 1, -1, -1)][:number]
    shares = [1 + weight * (max_trials - number) // sum(weights) for weight in weights]
    shares[0] += max_trials - sum(shares)
    return shares
