"""Random search: independent draws from the space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from determined.domain.hparams import sample
from determined.domain.space import SpaceLike, as_space
from determined.methods.arguments import at_least
from determined.methods.points import PointSearch


class RandomSearch(PointSearch):
    """Draws ``max_trials`` points at random and trains each to the full length; one that is invalid is drawn anew.

    Source: Bergstra and Bengio, Random Search for Hyper-Parameter Optimization, JMLR 2012.
    State: how many points were started, and how far those have come that train; see ``PointSearch``. A point follows
    from the seed and its number, so that no point and no generator is kept.
    Cost: O(1) per event, and O(hyperparameters) for a new point.

    Args:
        space: what points are drawn from.
        max_length: how long each trial trains, in the experiment's unit.
        max_trials: how many points are tried; those with invalid hyperparameters do not count.
        max_concurrent_trials: how many trials are open at a time; 0: all.
        seed: the same seed draws the same points.

    Raises:
        InvalidInput: an argument is out of range.
        InvalidConfig: the space has problems.
    """

    def __init__(
        self, space: SpaceLike, max_length: int, max_trials: int, *, max_concurrent_trials: int = 16, seed: int = 0
    ) -> None:
        at_least(1, max_length=max_length, max_trials=max_trials)
        at_least(0, max_concurrent_trials=max_concurrent_trials)
        super().__init__(max_length, max_trials, max_concurrent_trials, seed)
        self.space = as_space(space)

    def point(self, index: int) -> Mapping[str, Any]:
        """The draw of this index."""
        return sample(self.space, self.draws(f"point {index}"))

    def replaces_invalid(self) -> bool:
        """Yes: an invalid point does not count."""
        return True
