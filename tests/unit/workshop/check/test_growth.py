"""What is called growth like the number of trials, and what is not."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from determined.workshop.check.growth import Sample, is_linear

SIZES = (60, 240, 960)
Cost = Callable[[float], float]


def samples(cost: Cost, number: int = 60, seed: int = 1) -> list[Sample]:
    """Events of the second half of three searches, with some noise."""
    rng = random.Random(seed)
    found = []
    for size in SIZES:
        trials = [size * (0.5 + 0.5 * rng.random()) for _ in range(number)]
        found.append(Sample(size, [round(cost(at) * (0.95 + 0.1 * rng.random())) for at in trials]))
    return found


GROWS: dict[str, Cost] = {
    "linear": lambda n: 10 * n,
    "linear, beside much else": lambda n: 1000 + n,
    "n log n": lambda n: n * math.log2(n),
    "quadratic": lambda n: 100 + n * n / 50,
}
STAYS: dict[str, Cost] = {
    "constant": lambda n: 700,
    "logarithm": lambda n: 100 + 50 * math.log2(n),
    "square of a logarithm": lambda n: 20 * math.log2(n) ** 2,
    "square root": lambda n: 20 * math.sqrt(n),
    "a window of 100": lambda n: 10 * min(n, 100),
    "a window of 400": lambda n: 10 * min(n, 400),
    "hardly worth a word": lambda n: 5000 + n / 4,
    "falling": lambda n: 5000 - n,
}


@pytest.mark.parametrize("name", GROWS)
@pytest.mark.parametrize("seed", range(5))
def test_growth_like_the_number_of_trials_is_told(name: str, seed: int) -> None:
    assert is_linear(samples(GROWS[name], seed=seed))


@pytest.mark.parametrize("name", STAYS)
@pytest.mark.parametrize("seed", range(5))
def test_less_is_not(name: str, seed: int) -> None:
    assert not is_linear(samples(STAYS[name], seed=seed))


def test_rare_events_of_great_cost_are_no_growth() -> None:
    for seed in range(50):
        rng = random.Random(seed)
        rare = [Sample(size, [500 + 40 * size * (rng.random() < 20 / size) for _ in range(60)]) for size in SIZES]
        assert not is_linear(rare)


def test_a_few_events_say_nothing() -> None:
    assert is_linear(samples(GROWS["linear"], 40))
    assert not is_linear(samples(GROWS["linear"], 4))
