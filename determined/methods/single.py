"""A single trial: one draw from the space, trained to the full length."""

from __future__ import annotations

from determined.domain.space import SpaceLike
from determined.methods.random import RandomSearch


class SingleSearch(RandomSearch):
    """One trial. An invalid point ends the search: there is nothing to replace it with that was asked for.

    Source: none; it is random search with one trial (Bergstra and Bengio, Random Search for Hyper-Parameter
    Optimization, JMLR 2012), and what is left to draw is nothing when the space holds constants only.
    State and cost: those of ``RandomSearch``, of one trial.

    Args:
        space: what the point is drawn from.
        max_length: how long the trial trains, in the experiment's unit.
        seed: the same seed draws the same point.

    Raises:
        InvalidInput: an argument is out of range.
        InvalidConfig: the space has problems.
    """

    def __init__(self, space: SpaceLike, max_length: int, *, seed: int = 0) -> None:
        super().__init__(space, max_length, 1, max_concurrent_trials=1, seed=seed)

    def replaces_invalid(self) -> bool:
        """No."""
        return False
