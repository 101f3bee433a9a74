"""Random search: independent draws from the space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from determined.domain.hparams import sample
from determined.domain.space import SpaceLike, as_space
from determined.methods.points import PointSearch


class RandomSearch(PointSearch):
    """Draws ``max_trials`` points at random; a point that cannot be trained is drawn anew.

    Source: Bergstra and Bengio, Random Search for Hyper-Parameter Optimization, JMLR 2012.
    """

    def __init__(
        self, space: SpaceLike, max_length: int, max_trials: int, *, max_concurrent_trials: int = 16, seed: int = 0
    ) -> None:
        super().__init__(max_length, max_trials, max_concurrent_trials, seed)
        self.space = as_space(space)

    def point(self, index: int) -> Mapping[str, Any]:
        """The draw of this index."""
        return sample(self.space, self.draws(f"point {index}"))

    def replaces_invalid(self) -> bool:
        """Yes: an invalid point does not count."""
        return True
