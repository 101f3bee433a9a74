"""A single trial: one draw from the space, trained to the full length."""

from __future__ import annotations

from determined.domain.hparams import Space
from determined.methods.points import Draw
from determined.methods.random import RandomSearch


class SingleSearch(RandomSearch):
    """One trial. An invalid point ends the search: there is nothing to replace it with that was asked for."""

    def __init__(self, space: Space, length: int, draw: Draw) -> None:
        super().__init__(space, length, 1, 1, draw)

    def replaces_invalid(self) -> bool:
        """No."""
        return False
