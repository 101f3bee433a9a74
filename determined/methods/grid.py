"""Grid search: every point of the grid once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from determined.domain.hparams import grid_point, grid_size
from determined.domain.space import SpaceLike, as_space
from determined.methods.arguments import at_least
from determined.methods.points import PointSearch


class GridSearch(PointSearch):
    """Walks the grid from its end and trains each point to the full length; one that is invalid counts as done.

    The axes are the hyperparameters: the ``count`` points of a range, each value of a categorical, each point of each
    option of a choice. The last axis by name changes fastest.

    Source: Bergstra and Bengio, Random Search for Hyper-Parameter Optimization, JMLR 2012, which describes grid search
    and shows why random search finds better points for the same money when only a few hyperparameters matter.
    State: how many points were started, and how far those have come that train; see ``PointSearch``. A point follows
    from its number, so that the grid is never listed.
    Cost: O(1) per event, and O(hyperparameters) for a new point.

    Args:
        space: what the grid spans; each range needs a ``count``.
        max_length: how long each trial trains, in the experiment's unit.
        max_concurrent_trials: how many trials are open at a time; 0: all.
        seed: of the request ids; the points are the same with each.

    Raises:
        InvalidInput: an argument is out of range.
        InvalidConfig: the space has problems.
        ValueError: a range of the space has no ``count``.
    """

    def __init__(self, space: SpaceLike, max_length: int, *, max_concurrent_trials: int = 16, seed: int = 0) -> None:
        at_least(1, max_length=max_length)
        at_least(0, max_concurrent_trials=max_concurrent_trials)
        self.space = as_space(space)
        super().__init__(max_length, grid_size(self.space), max_concurrent_trials, seed)

    def point(self, index: int) -> Mapping[str, Any]:
        """The point of this index, counted from the end of the grid."""
        return grid_point(self.space, self.total - 1 - index)

    def replaces_invalid(self) -> bool:
        """No: each point is tried once."""
        return False
