"""Asynchronous successive halving in one bracket (ASHA)."""

from __future__ import annotations

from determined.domain.space import SpaceLike
from determined.methods.arguments import at_least, check_flags
from determined.methods.brackets import BracketSearch
from determined.methods.halving import Plan, rung_lengths


class AsyncHalvingSearch(BracketSearch):
    """Many trials start, and one in ``divisor`` goes on to each longer rung, without ever waiting for a rung to fill.

    Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020, Algorithm 2. With
    ``stop_once``: the variant that decides about each trial once, when it reports, and never takes that back.
    How it decides, what its state is and what an event costs: see ``Bracket``.

    Args:
        space: what points are drawn from, at random.
        max_length: how long the longest trials train, in the experiment's unit.
        max_trials: how many trials are started in all.
        num_rungs: rung k of R trains for ``max_length / divisor**(R - 1 - k)``, rounded down, at least 1.
        divisor: one trial in so many is promoted; eta in the paper.
        max_concurrent_trials: how many trials are started at first, and so train at any time; 0: as many as one full
            promotion to the top needs, ``divisor**(num_rungs - 1)``.
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
        num_rungs: int,
        *,
        divisor: float = 4,
        max_concurrent_trials: int = 16,
        stop_once: bool = False,
        smaller_is_better: bool = True,
        seed: int = 0,
    ) -> None:
        at_least(1, max_length=max_length, max_trials=max_trials)
        at_least(0, max_concurrent_trials=max_concurrent_trials)
        check_flags(stop_once=stop_once, smaller_is_better=smaller_is_better)
        lengths = rung_lengths(max_length, divisor, num_rungs)
        concurrent = max_concurrent_trials or int(divisor ** (num_rungs - 1))
        plan = Plan(lengths, max_trials, concurrent, divisor, stop_once, smaller_is_better)
        super().__init__(space, [plan], seed)
