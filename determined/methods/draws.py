"""Random numbers of a search: a generator for each label, all from one seed, so that nothing of them has to be kept."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable

from determined.domain.hparams import Rng

Draw = Callable[[str], Rng]
"""Gives a generator for a label; the same label gives the same draws, so that no generator state is kept."""


class Draws:
    """The generators of a seed.

    ``Draws(7)("point 3")`` starts the same stream of numbers each time it is called. Labels keep streams apart: a
    method that asks for "point 4" first still gets the same point 3.

    Cost: about 10 microseconds a call.
    """

    __slots__ = ("seed",)

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, label: str) -> random.Random:
        """A generator at the beginning of the label's stream."""
        return random.Random(f"{self.seed}/{label}")

    def request_id(self, label: str) -> uuid.UUID:
        """A request id that follows from the seed and the label."""
        return uuid.UUID(int=self(label).getrandbits(128), version=4)
