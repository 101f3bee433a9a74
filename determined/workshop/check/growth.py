"""Tells growth with the size of a search from chance, from a level that is reached, and from a logarithm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_FEWEST = 5
"""Fewer events of a kind say nothing."""
_LEAST_STEPS = 50.0
_LEAST_SHARE = 0.08
"""Growth by less, from the middle size to the largest, is not worth a word."""
_CERTAIN = 4.0
"""How many times its own uncertainty growth has to exceed what is allowed."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What events of one kind cost in a search of one size.

    Attributes:
        size: of the search, in trials.
        steps: one number for each event.
    """

    size: int
    steps: Sequence[int]

    @property
    def mean(self) -> float:
        """Mean steps of an event."""
        return sum(self.steps) / len(self.steps)

    @property
    def variance(self) -> float:
        """The squared uncertainty of the mean."""
        mean, number = self.mean, len(self.steps)
        return sum((step - mean) ** 2 for step in self.steps) / (number * (number - 1))


def is_linear(samples: Sequence[Sample]) -> bool:
    """Whether the cost of an event grows like the number of trials, or faster.

    Args:
        samples: of three sizes, the smallest first, each larger than the one before by about the same factor.

    From size to size, a logarithm grows as much as before, and what is linear grows more by that factor. The border
    lies between the two; a cost that reaches a level stays below it.
    """
    if any(len(sample.steps) < _FEWEST for sample in samples):
        return False
    small, middle, large = samples
    allowed = (1 + large.size / middle.size) / 2
    first, second = middle.mean - small.mean, large.mean - middle.mean
    variance = large.variance + (1 + allowed) ** 2 * middle.variance + allowed**2 * small.variance
    least = max(_LEAST_STEPS, _LEAST_SHARE * middle.mean)
    return second > least and second - allowed * max(first, 0.0) > _CERTAIN * math.sqrt(variance)
