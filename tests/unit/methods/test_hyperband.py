from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from determined.domain.events import ValidationCompleted
from determined.domain.hparams import Double, Space
from determined.domain.operations import Close, Create, ValidateAfter
from determined.domain.reasons import numbers_of
from determined.domain.search_method import SearcherState
from determined.errors import InvalidInput
from determined.methods.hyperband import HyperbandSearch, divide_by_budget
from tests.unit.methods.busy_search import BusySearch

SPACE = Space.of({"x": Double(0, 1)})


@pytest.mark.parametrize(
    ("max_trials", "divisor", "rungs", "brackets", "expected"),
    [
        # The table of the paper, R = 81 and eta = 3: n_s = 5/5 * 81, 5/4 * 27, 5/3 * 9, 5/2 * 3, 5 = 81, 34, 15, 8, 5
        # (rounded up), 143 in all. Of 143, one for each, and of the other 138: 78.2, 32.8, 14.5, 7.7, 4.8.
        # 79, 33, 15, 8, 5 make 140, and 3 are left for the first.
        (143, 3, 5, 5, [82, 33, 15, 8, 5]),
        # n_s = 3/3 * 4, 3/2 * 2, 3 = 4, 3, 3. Of 10 one each, of the other 7: 2.8, 2.1, 2.1, and 1 is left.
        (10, 2, 3, 3, [4, 3, 3]),
        (20, 2, 3, 3, [8, 6, 6]),
        (7, 4, 1, 1, [7]),
        # Two brackets for two trials; the third gets none.
        (2, 1.1, 3, 3, [1, 1]),
        # A share of trials that floats would get wrong: 0.1 is one tenth. n_s = ceil(2/2 * 1.1) = 2, and 2.
        (2_000_000_000, 1.1, 2, 2, [1_000_000_000, 1_000_000_000]),
        # Only the first two of three: n_s = 4, 3. Of 10 one each, of the other 8: 4.6, 3.4, and 1 is left.
        (10, 2, 3, 2, [6, 4]),
        (10, 2, 3, 1, [10]),
        (1, 2, 3, 2, [1]),
    ],
)
def test_trials_are_divided_in_the_proportion_of_the_paper(
    max_trials: int, divisor: float, rungs: int, brackets: int, expected: list[int]
) -> None:
    assert divide_by_budget(max_trials, divisor, rungs, brackets) == expected
    assert sum(expected) == max_trials


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"max_length": 81, "max_trials": 143, "divisor": 3},
            [[1, 3, 9, 27, 81], [3, 9, 27, 81], [9, 27, 81], [27, 81], [81]],
        ),
        # The length bounds the rungs, then the trials, then max_rungs.
        ({"max_length": 5, "max_trials": 100}, [[1, 5], [5]]),
        ({"max_length": 500, "max_trials": 15}, [[125, 500], [500]]),
        ({"max_length": 500, "max_trials": 1000, "max_rungs": 1}, [[500]]),
    ],
)
def test_each_bracket_has_one_rung_less_than_the_one_before(
    settings: dict[str, Any], expected: list[list[int]]
) -> None:
    method = HyperbandSearch(SPACE, **settings)
    assert [[rung.length for rung in bracket.rungs] for bracket in method.brackets] == expected


def test_at_any_time_the_trials_are_divided_like_the_whole() -> None:
    search = BusySearch(
        lambda: HyperbandSearch(SPACE, 81, 143, divisor=3, max_concurrent_trials=7),
        lambda number, hparams, length: random.Random(number).random(),
        seed=4,
    ).run()
    shares = [bracket.plan.max_trials / 143 for bracket in search.inner.brackets]
    so_far: Counter[int] = Counter()
    created = [op for op in search.answers() if isinstance(op, Create)]
    for number, op in enumerate(created, 1):
        so_far[int(numbers_of(op.reason)["bracket"])] += 1
        assert all(abs(so_far[i] - share * number) <= 1.5 for i, share in enumerate(shares))
    assert [so_far[i] for i in range(5)] == [82, 33, 15, 8, 5]


@pytest.mark.parametrize(("asked", "expected"), [(7, 7), (500, 143), (0, 81)])
def test_brackets_share_one_pool_of_places(asked: int, expected: int) -> None:
    def make() -> HyperbandSearch:
        return HyperbandSearch(SPACE, 81, 143, divisor=3, max_concurrent_trials=asked)

    first = [op for op in make().initial_operations(SearcherState()) if isinstance(op, Create)]
    assert len(first) == expected
    assert first[0].reason == f"{expected} at a time: starts trial 1 of 82 in bracket 0"
    assert BusySearch(make).run().most == expected


@pytest.mark.parametrize("stop_once", [False, True])
def test_with_stop_once_each_trial_goes_on_or_ends_when_it_reports(stop_once: bool) -> None:
    search = BusySearch(
        lambda: HyperbandSearch(SPACE, 27, 60, divisor=3, max_concurrent_trials=5, stop_once=stop_once),
        lambda number, hparams, length: random.Random(number).random(),
        seed=4,
    ).run()
    decided_at_once = [
        any(isinstance(op, (ValidateAfter, Close)) and op.request_id == event.request_id for op in answer)
        for event, answer in search.told
        if isinstance(event, ValidationCompleted)
    ]
    assert all(decided_at_once) == stop_once
    assert search.created() == 60
    assert len(search.reached) == 4


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(InvalidInput, match="max_rungs"):
        HyperbandSearch(SPACE, 81, 143, max_rungs=0)
    with pytest.raises(InvalidInput, match="stop_once must be True or False, got 'yes'"):
        HyperbandSearch(SPACE, 81, 143, stop_once="yes")  # type: ignore[arg-type]
