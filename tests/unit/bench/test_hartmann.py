from __future__ import annotations

import itertools

import pytest

from bench.quality.hartmann import QUALITIES, WELLS, Hartmann


@pytest.mark.parametrize(("dimensions", "lowest"), [(3, -3.86278), (6, -3.32237)])
def test_the_least_values_are_those_of_the_literature(dimensions: int, lowest: float) -> None:
    assert Hartmann(dimensions, 2.5, 2.0, 81).lowest == pytest.approx(lowest, abs=1e-5)


@pytest.mark.parametrize("dimensions", [3, 6])
def test_no_neighbour_of_the_lowest_point_is_lower(dimensions: int) -> None:
    function = Hartmann(dimensions, 2.5, 2.0, 81)
    at = WELLS[dimensions].lowest_at
    for place, step in itertools.product(range(dimensions), (-0.001, 0.001)):
        neighbour = [value + step * (place == i) for i, value in enumerate(at)]
        assert function.noiseless(neighbour) > function.lowest


def test_the_longest_length_has_neither_bias_nor_noise() -> None:
    function = Hartmann(3, *QUALITIES["bad"], max_length=81)
    assert {function((0.2, 0.5, 0.8), 81, seed) for seed in range(5)} == {function.noiseless((0.2, 0.5, 0.8))}


def test_noise_is_the_same_for_the_same_point_length_and_seed_and_never_flatters() -> None:
    function = Hartmann(3, *QUALITIES["good"], max_length=81)
    point = (0.2, 0.5, 0.8)
    drawn = [function(point, 1, seed) for seed in range(50)]
    assert drawn == [function(point, 1, seed) for seed in range(50)]
    assert len(set(drawn)) == 50
    assert min(drawn) > function.noiseless(point, missing=1)
