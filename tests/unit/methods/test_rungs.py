from __future__ import annotations

import json
import math
import random

import pytest

from determined.methods.rungs import Rung, plain


class Counted(float):
    """A float that counts how often it is compared."""

    comparisons = 0

    def __lt__(self, other: object) -> bool:
        Counted.comparisons += 1
        return float(self) < float(other)  # type: ignore[arg-type]

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return float(self) == float(other)  # type: ignore[arg-type]

    __hash__ = float.__hash__


def filled(*losses: float, ahead: bool = False) -> Rung:
    rung = Rung(4)
    for trial, loss in enumerate(losses):
        rung.add(trial, loss, ahead_of_equals=ahead)
    return rung


def order(rung: Rung) -> list[int]:
    return [rung.at(index) for index in range(len(rung))]


def test_results_are_ranked_with_the_lowest_loss_first() -> None:
    rung = filled(0.3, 0.1, math.inf, -math.inf, 0.2)
    assert order(rung) == [3, 1, 4, 0, 2]
    assert [rung.index(trial) for trial in range(5)] == [3, 1, 4, 0, 2]
    assert rung.add(9, 0.15) == 2


@pytest.mark.parametrize(("ahead", "expected"), [(False, [0, 1, 2]), (True, [2, 1, 0])])
def test_equal_results_are_ranked_by_arrival(ahead: bool, expected: list[int]) -> None:
    assert order(filled(0.5, 0.5, 0.5, ahead=ahead)) == expected


def test_a_removed_result_leaves_no_gap_and_removing_it_again_changes_nothing() -> None:
    rung = filled(0.3, 0.1, 0.2)
    rung.waiting.update({1, 2})
    for _ in range(2):
        rung.remove(1)
        assert (order(rung), rung.waiting, len(rung)) == ([2, 0], {2}, 2)


@pytest.mark.parametrize("ahead", [False, True])
def test_a_restored_rung_ranks_on_as_before(ahead: bool) -> None:
    rung, restored = filled(0.5, math.inf, 0.5, 0.1, ahead=ahead), Rung(4)
    restored.restore(json.loads(json.dumps(rung.results(), allow_nan=False)))
    for trial, loss in enumerate((0.5, 0.1, math.inf), 10):
        assert rung.add(trial, loss, ahead_of_equals=ahead) == restored.add(trial, loss, ahead_of_equals=ahead)
    assert order(rung) == order(restored)


@pytest.mark.parametrize("number", [0.1, math.inf, -math.inf, math.nan])
def test_every_float_survives_json(number: float) -> None:
    back = float(json.loads(json.dumps(plain(number), allow_nan=False)))
    assert repr(back) == repr(number)


def comparisons_of_the_last(results: int) -> float:
    rng, rung = random.Random(5), Rung(4)
    for trial in range(results):
        rung.add(trial, Counted(rng.random()))
    Counted.comparisons = 0
    for trial in range(results, results + 200):
        rung.add(trial, Counted(rng.random()))
        rung.index(trial)
        rung.at(trial // 4)
        rung.remove(trial - 100)
    return Counted.comparisons / 200


def test_the_cost_of_a_result_grows_with_the_logarithm_of_their_number() -> None:
    few, many = comparisons_of_the_last(1_000), comparisons_of_the_last(16_000)
    # Four more steps of each search by halves, of which there are five, with two comparisons each.
    assert many - few < 5 * 2 * 5
