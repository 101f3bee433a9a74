"""A single trial: one draw from the space, trained to the full length."""

from __future__ import annotations

from determined.domain.space import SpaceLike
from determined.methods.random import RandomSearch


class SingleSearch(RandomSearch):
    """One trial. An invalid point ends the search: there is nothing to replace it with that was asked for."""

    def __init__(self, space: SpaceLike, max_length: int, *, seed: int = 0) -> None:
        super().__init__(space, max_length, 1, max_concurrent_trials=1, seed=seed)

    def replaces_invalid(self) -> bool:
        """No."""
        return False
