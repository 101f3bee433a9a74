from __future__ import annotations

import bisect
import json
import math
import random

import pytest

from determined.methods import rungs
from determined.methods.rungs import Rung, plain


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


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("values", [3, 10_000])
def test_a_rung_of_many_runs_ranks_as_one_sorted_list(
    values: int, ahead: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rungs, "MOST_IN_A_RUN", 8)
    rng, rung, model = random.Random(values), Rung(4), list[tuple[float, int, int]]()
    for trial in range(600):
        loss = rng.randrange(values) / 7
        key = (loss, -trial if ahead else trial, trial)
        bisect.insort(model, key)
        assert rung.add(trial, loss, ahead_of_equals=ahead) == model.index(key)
        if trial % 3 == 0:
            gone = model.pop(rng.randrange(len(model)))[2]
            rung.remove(gone)
    assert order(rung) == [key[2] for key in model]
    asked = {key[2] for key in model}
    for some in (asked, set(sorted(asked)[:3])):
        assert rung.ranks(some) == [(index, key[2]) for index, key in enumerate(model) if key[2] in some]
    with pytest.raises(IndexError):
        rung.at(len(model))


def test_no_run_grows_beyond_its_bound_so_that_a_result_moves_no_more_than_that() -> None:
    rng, rung = random.Random(5), Rung(4)
    for trial in range(20_000):
        rung.add(trial, rng.random())
    lengths = [len(run) for run in rung.runs()]
    assert sum(lengths) == len(rung)
    assert max(lengths) <= rungs.MOST_IN_A_RUN
    assert len(lengths) <= 2 * len(rung) / rungs.MOST_IN_A_RUN + 1
