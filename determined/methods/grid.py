"""Grid search: every point of the grid once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from determined.domain.hparams import grid_point, grid_size
from determined.domain.space import SpaceLike, as_space
from determined.methods.points import PointSearch


class GridSearch(PointSearch):
    """Walks the grid from its end; a point that cannot be trained counts as done."""

    def __init__(self, space: SpaceLike, max_length: int, *, max_concurrent_trials: int = 16, seed: int = 0) -> None:
        self.space = as_space(space)
        super().__init__(max_length, grid_size(self.space), max_concurrent_trials, seed)

    def point(self, index: int) -> Mapping[str, Any]:
        """The point of this index, counted from the end of the grid."""
        return grid_point(self.space, self.total - 1 - index)

    def replaces_invalid(self) -> bool:
        """No: each point is tried once."""
        return False
