"""The Hartmann functions with a fidelity: shorter training flattens the function and adds noise to it.

Sources: Dixon and Szegö, Towards Global Optimisation 2, 1978, for the functions of 3 and 6 dimensions (constants as
tabulated by Surjanovic and Bingham, Virtual Library of Simulation Experiments); Kandasamy et al., Multi-fidelity
Bayesian Optimisation with Continuous Approximations, ICML 2017, appendix, for a fidelity that lowers the weights;
Mallik et al., PriorBand, NeurIPS 2023, appendix, for the form used here, with its bias and noise of the ``good`` and
``bad`` correlation between fidelities.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

Matrix = tuple[tuple[float, ...], ...]

WEIGHTS = (1.0, 1.2, 3.0, 3.2)


@dataclass(frozen=True)
class Wells:
    """Four wells: how narrow each is in each dimension, where it is, and where the sum of all four is lowest."""

    narrowness: Matrix
    centres: Matrix
    lowest_at: tuple[float, ...]


WELLS = {
    3: Wells(
        narrowness=((3, 10, 30), (0.1, 10, 35), (3, 10, 30), (0.1, 10, 35)),
        centres=(
            (0.3689, 0.1170, 0.2673),
            (0.4699, 0.4387, 0.7470),
            (0.1091, 0.8732, 0.5547),
            (0.0381, 0.5743, 0.8828),
        ),
        lowest_at=(0.114589, 0.555649, 0.852547),
    ),
    6: Wells(
        narrowness=(
            (10, 3, 17, 3.5, 1.7, 8),
            (0.05, 10, 17, 0.1, 8, 14),
            (3, 3.5, 1.7, 10, 17, 8),
            (17, 8, 0.05, 10, 0.1, 14),
        ),
        centres=(
            (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886),
            (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
            (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650),
            (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381),
        ),
        lowest_at=(0.201690, 0.150011, 0.476874, 0.275332, 0.311652, 0.657301),
    ),
}

QUALITIES = {"good": (2.5, 2.0), "bad": (3.5, 4.0)}
"""Bias and noise."""


@dataclass(frozen=True)
class Hartmann:
    """One function, to be minimised on the unit cube.

    Attributes:
        dimensions: 3 or 6.
        bias: taken from every weight at the shortest length; 0 at the longest.
        noise: scale of what is added at the shortest length, never less than 0; nothing at the longest.
        max_length: the length that is noiseless and unbiased; the shortest is 1.
    """

    dimensions: int
    bias: float
    noise: float
    max_length: int

    def __call__(self, x: Sequence[float], length: int, seed: int = 0) -> float:
        """The value at a point. The noise depends on the point, the length and the seed alone."""
        missing = 1 - math.log(length) / math.log(self.max_length)
        value = self.noiseless(x, missing)
        if missing > 0 and self.noise:
            draw = random.Random(repr((seed, length, tuple(x)))).gauss(0.0, 1.0)
            value += abs(draw) * self.noise * missing
        return value

    def noiseless(self, x: Sequence[float], missing: float = 0.0) -> float:
        """The value without noise; ``missing`` is 1 at the shortest length and 0 at the longest."""
        wells = WELLS[self.dimensions]
        total = 0.0
        for weight, narrow, centre in zip(WEIGHTS, wells.narrowness, wells.centres, strict=True):
            distance = sum(a * (v - c) ** 2 for a, v, c in zip(narrow, x, centre, strict=True))
            total -= (weight - self.bias * missing) * math.exp(-distance)
        return total

    @property
    def lowest(self) -> float:
        """The least value at the longest length."""
        return self.noiseless(WELLS[self.dimensions].lowest_at)
