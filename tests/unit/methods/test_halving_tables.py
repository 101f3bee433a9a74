"""Trial counts per rung and bracket, each computed by hand in the comment above it.

Metrics are one of:
- equal: a result ranks after equal ones, so that exactly floor(n / divisor) of n results are promoted;
- worse: each trial is worse than all before it; the same number is promoted;
- better: each trial is better than all before it. With n results, the newest is promoted if floor(n / divisor) >= 1:
  all but the first divisor - 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from determined.domain.events import ExitCause
from determined.domain.hparams import Double, Space
from determined.methods.adaptive_asha import AdaptiveASHASearch
from determined.methods.async_halving import AsyncHalvingSearch
from determined.methods.brackets import BracketSearch
from tests.unit.methods.busy_search import BusySearch, Metric

SPACE = Space.of({"x": Double(0, 1)})
METRICS: Mapping[str, Metric] = {
    "equal": lambda number, hparams, length: 0.5,
    "worse": lambda number, hparams, length: float(number),
    "better": lambda number, hparams, length: -float(number),
}
ERROR, KILLED, ITSELF, INVALID = (
    ExitCause.ERRORED,
    ExitCause.KILLED,
    ExitCause.STOPPED_ITSELF,
    ExitCause.INVALID_HP,
)
Exits = Mapping[tuple[int, int], ExitCause]
"""By trial, from 0, and the length that it does not reach."""


def counts(search: BusySearch) -> list[list[int]]:
    return [[len(rung) for rung in bracket.rungs] for bracket in search.inner.brackets]


def ran(make: Any, metrics: str, exits: Exits = {}) -> BusySearch:  # noqa: B006  # never changed
    return BusySearch(make, METRICS[metrics], lambda number, length: exits.get((number, length))).run()


@pytest.mark.parametrize(
    ("settings", "metrics", "exits", "expected"),
    [
        # 1: lengths 1, 4, 16. 16 // 4 = 4, 4 // 4 = 1.
        ({"max_length": 16, "max_trials": 16, "num_rungs": 3}, "equal", {}, [16, 4, 1]),
        # 2: 10 // 4 = 2, 2 // 4 = 0: nobody gets to the top.
        ({"max_length": 16, "max_trials": 10, "num_rungs": 3}, "worse", {}, [10, 2, 0]),
        # 3: one at a time, each better: all but 3 of 10 are promoted, then all but 3 of those 7.
        ({"max_length": 16, "max_trials": 10, "num_rungs": 3, "max_concurrent_trials": 1}, "better", {}, [10, 7, 4]),
        # 4: divisor 2.5: 20 / 2.5 = 8, 8 / 2.5 = 3.2, 3 / 2.5 = 1.2.
        ({"max_length": 40, "max_trials": 20, "num_rungs": 4, "divisor": 2.5}, "equal", {}, [20, 8, 3, 1]),
        # 5: one rung: everybody reaches it.
        ({"max_length": 7, "max_trials": 5, "num_rungs": 1}, "worse", {}, [5]),
        # 6: trials 0 and 1 fail, one trial at a time, divisor 2. Rung 0, n = 1: nothing. n = 2: a place, for index 0:
        # trial 0, which is over, so it is the worst of rung 1, n = 1. Trial 2 ranks 0 of 3, and goes on; in rung 1 it
        # ranks 0 of 2 and goes on to the top. Trial 3, index 1 of 4 < 2, goes on; in rung 1 it is index 1 of 3, and
        # waits. Trial 4, index 2 of 5, waits. Trial 5, index 3 of 6: the new place 2 is trial 4's; in rung 1, n = 4,
        # it is index 2, and the new place 1 is trial 3's. Trial 6 is index 4 of 7. Trial 7, index 5 of 8: the new place
        # 3 is trial 5's; in rung 1, n = 5, it is index 3. So rung 1 has 0, 2, 3, 4, 5, and the top has 2 and 3.
        (
            {"max_length": 4, "max_trials": 8, "num_rungs": 3, "divisor": 2, "max_concurrent_trials": 1},
            "equal",
            {(0, 1): ERROR, (1, 1): KILLED},
            [8, 5, 2],
        ),
        # 7: everybody fails: 4 worst results; 4 // 2 = 2 are promoted, the worst of rung 1, and 2 // 2 = 1 to the top.
        (
            {"max_length": 4, "max_trials": 4, "num_rungs": 3, "divisor": 2},
            "equal",
            {(0, 1): ERROR, (1, 1): ITSELF, (2, 1): ERROR, (3, 1): KILLED},
            [4, 2, 1],
        ),
        # 8: trial 1 is invalid and does not count: 4 others, 4 // 2 = 2.
        (
            {"max_length": 8, "max_trials": 4, "num_rungs": 2, "divisor": 2},
            "equal",
            {(1, 4): INVALID},
            [4, 2],
        ),
        # 9: one at a time, equal, divisor 2, lengths 4, 8. Trial 1 reports, n = 2: trial 0 is promoted and turns out to
        # be invalid at 8: taken out, n = 1 (trial 1). Trial 2 replaces it: n = 2, old 0, new 1: index 0, trial 1, goes
        # on. Trial 3: n = 3, nothing. Trial 4: n = 4, old 1, new 2: index 1, trial 2, goes on. 4 trials, 2 promoted.
        (
            {"max_length": 8, "max_trials": 4, "num_rungs": 2, "divisor": 2, "max_concurrent_trials": 1},
            "equal",
            {(0, 8): INVALID},
            [4, 2],
        ),
        # 10: the promoted trial 0 fails in rung 1 instead: it stays promoted, and counts there. 16 // 4 = 4 in rung 1,
        # of which trial 0 is the worst; the place in the top is for the best of the others.
        ({"max_length": 16, "max_trials": 16, "num_rungs": 3}, "worse", {(0, 4): ERROR}, [16, 4, 1]),
        # 11: stopping, equal: a result ranks before equal ones, so all go on.
        ({"max_length": 9, "max_trials": 6, "num_rungs": 3, "divisor": 3, "stop_once": True}, "equal", {}, [6, 6, 6]),
        # 12: stopping, worse: the first ranks 0 < max(1 // 3, 1), the n-th has index n - 1 >= max(n // 3, 1): stopped.
        ({"max_length": 9, "max_trials": 6, "num_rungs": 3, "divisor": 3, "stop_once": True}, "worse", {}, [6, 1, 1]),
        # 13: stopping, better: each ranks 0 when it reports, and goes on.
        (
            {"max_length": 9, "max_trials": 6, "num_rungs": 3, "divisor": 3, "stop_once": True},
            "better",
            {},
            [6, 6, 6],
        ),
        # 14: stopping, one at a time, worse; trial 0 fails: rank 0 of 1, so it goes on, and is the worst of rung 1 and,
        # rank 0 of 1 there too, of the top. Trial 1 ranks 0 of 2 in all rungs. Trial 2 has index 1 of 3, >= 1: stopped.
        (
            {
                "max_length": 9,
                "max_trials": 3,
                "num_rungs": 3,
                "divisor": 3,
                "stop_once": True,
                "max_concurrent_trials": 1,
            },
            "worse",
            {(0, 1): ERROR},
            [3, 2, 2],
        ),
    ],
)
def test_one_bracket_has_the_counts_that_were_computed_by_hand(
    settings: dict[str, Any], metrics: str, exits: Exits, expected: list[int]
) -> None:
    search = ran(lambda: AsyncHalvingSearch(SPACE, **settings), metrics, exits)
    assert counts(search) == [expected]
    assert search.progress[-1] == 1.0
    assert search.created() == settings["max_trials"] + search.invalid


@pytest.mark.parametrize(
    ("settings", "metrics", "exits", "expected"),
    [
        # 1: r = min(5, log4 64 + 1 = 4, log4 64 + 1 = 4) = 4; standard: 3 // 2 + 1 = 2 to 4.
        # Weights 64/4 = 16, 16/3 = 5.33, 4/2 = 2, total 23.33. Of 64: 43.9, 14.6, 5.5: 43, 14, 5, and 2 left: 45.
        # 45 // 4 = 11, 11 // 4 = 2, 2 // 4 = 0; 14 // 4 = 3, 3 // 4 = 0; 5 // 4 = 1.
        ({"max_length": 64, "max_trials": 64}, "equal", {}, [[45, 11, 2, 0], [14, 3, 0], [5, 1]]),
        # 2: aggressive: only the 4 rungs. 64 // 4 = 16, 4, 1.
        ({"max_length": 64, "max_trials": 64, "mode": "aggressive"}, "worse", {}, [[64, 16, 4, 1]]),
        # 3: conservative: 4, 3, 2, 1 rungs; weights 16, 5.33, 2, 1, total 24.33. Of 64: 42.1, 14.03, 5.3, 2.6:
        # 42, 14, 5, 2, and 1 left: 43. 43 // 4 = 10, 2, 0; 14 // 4 = 3, 0; 5 // 4 = 1.
        (
            {"max_length": 64, "max_trials": 64, "mode": "conservative"},
            "equal",
            {},
            [[43, 10, 2, 0], [14, 3, 0], [5, 1], [2]],
        ),
        # 4: divisor 3; r = min(5, log3 81 + 1 = 5, floor(log3 100) + 1 = 5) = 5; standard: 4 // 2 + 1 = 3 to 5.
        # Weights 81/5 = 16.2, 27/4 = 6.75, 9/3 = 3, total 25.95. Of 100: 62.4, 26.01, 11.6: 62, 26, 11, 1 left: 63.
        # 63 // 3 = 21, 7, 2, 0; 26 // 3 = 8, 2, 0; 11 // 3 = 3, 1.
        (
            {"max_length": 81, "max_trials": 100, "divisor": 3},
            "worse",
            {},
            [[63, 21, 7, 2, 0], [26, 8, 2, 0], [11, 3, 1]],
        ),
        # 5: bracket_rungs are sorted; weights 4/3, 1, 1 of 10/3: of 10 exactly 4, 3, 3. 4 // 2 = 2, 1; 3 // 2 = 1.
        (
            {"max_length": 4, "max_trials": 10, "divisor": 2, "bracket_rungs": [1, 3, 2]},
            "equal",
            {},
            [[4, 2, 1], [3, 1], [3]],
        ),
        # 6: more brackets than trials: max(floor(2/3), 1) = 1 each, and nothing is left over.
        ({"max_length": 4, "max_trials": 2, "bracket_rungs": [1, 1, 1]}, "equal", {}, [[1], [1], [1]]),
        # 7: max_rungs 2; standard: 1 // 2 + 1 = 1 to 2. Weights 2, 1 of 3: of 20: 13.3, 6.7: 13, 6, 1 left: 14.
        # 14 // 4 = 3.
        ({"max_length": 100, "max_trials": 20, "max_rungs": 2}, "worse", {}, [[14, 3], [6]]),
        # 8: the length bounds the rungs: log4 3 < 1: r = 1, one bracket of one rung.
        ({"max_length": 3, "max_trials": 9}, "equal", {}, [[9]]),
        # 9: the trials bound the rungs: floor(log4 15) + 1 = 2. As in 7, of 15: exactly 10 and 5. 10 // 4 = 2.
        ({"max_length": 1000, "max_trials": 15}, "equal", {}, [[10, 2], [5]]),
        # 10: a power that floats miss: log10 1000 = 3, so r = min(5, 4, 4) = 4, standard 2 to 4. Weights 1000/4 = 250,
        # 100/3 = 33.3, 10/2 = 5, total 288.3. Of 1000: 867.05, 115.6, 17.3: 867, 115, 17, 1 left: 868.
        # 868 // 10 = 86, 8, 0; 115 // 10 = 11, 1; 17 // 10 = 1.
        (
            {"max_length": 1000, "max_trials": 1000, "divisor": 10},
            "equal",
            {},
            [[868, 86, 8, 0], [115, 11, 1], [17, 1]],
        ),
        # 11: as 7, with failures. Concurrency 1, but one for each bracket: trial 0 is the first of bracket 0, trial 1
        # that of bracket 1. Trial 0 fails: the worst of 14; 14 // 4 = 3 others are promoted. Trial 1 is invalid, and is
        # replaced in its bracket.
        (
            {"max_length": 100, "max_trials": 20, "max_rungs": 2, "max_concurrent_trials": 1},
            "equal",
            {(0, 25): ERROR, (1, 100): INVALID},
            [[14, 3], [6]],
        ),
        # 12: stopping, worse: in each bracket the first trial goes all the way, and the others stop in rung 0.
        (
            {"max_length": 64, "max_trials": 64, "stop_once": True, "max_concurrent_trials": 3},
            "worse",
            {},
            [[45, 1, 1, 1], [14, 1, 1], [5, 1]],
        ),
        # 13: one trial: no rungs to derive, r = 1.
        ({"max_length": 64, "max_trials": 1}, "equal", {}, [[1]]),
        # 14: bracket_rungs may ask for more rungs than the length has powers: lengths 1, 1, 2 with divisor 4. Weights
        # 16/3 and 4/2, total 22/3: of 11: 8 and 3. 8 // 4 = 2, 0; 3 // 4 = 0.
        ({"max_length": 2, "max_trials": 11, "bracket_rungs": [3, 2]}, "equal", {}, [[8, 2, 0], [3, 0]]),
    ],
)
def test_several_brackets_have_the_counts_that_were_computed_by_hand(
    settings: dict[str, Any], metrics: str, exits: Exits, expected: list[list[int]]
) -> None:
    search = ran(lambda: AdaptiveASHASearch(SPACE, **settings), metrics, exits)
    assert counts(search) == expected
    assert search.progress[-1] == 1.0
    assert search.created() == sum(rungs[0] for rungs in expected) + search.invalid


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        # floor(16 / 4**2), floor(16 / 4), 16.
        (AsyncHalvingSearch(SPACE, 16, 9, 3), [[1, 4, 16]]),
        # floor(100 / 9), floor(100 / 3), 100.
        (AsyncHalvingSearch(SPACE, 100, 9, 3, divisor=3), [[11, 33, 100]]),
        # 5 / 16 is 0, which is too short.
        (AsyncHalvingSearch(SPACE, 5, 9, 3), [[1, 1, 5]]),
        # floor(11 / 1.1) = 10, although 1.1 as a float is a little more.
        (AsyncHalvingSearch(SPACE, 11, 9, 2, divisor=1.1), [[10, 11]]),
        # A length that floats cannot tell from its neighbours.
        (AsyncHalvingSearch(SPACE, 2**63 - 1, 9, 2, divisor=2.0), [[2**62 - 1, 2**63 - 1]]),
        (AdaptiveASHASearch(SPACE, 81, 100, divisor=3), [[1, 3, 9, 27, 81], [3, 9, 27, 81], [9, 27, 81]]),
    ],
)
def test_each_rung_has_its_length(method: BracketSearch, expected: list[list[int]]) -> None:
    assert [[rung.length for rung in bracket.rungs] for bracket in method.brackets] == expected


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (AsyncHalvingSearch(SPACE, 64, 100, 4, max_concurrent_trials=7), [7]),
        # Never more than there are trials.
        (AsyncHalvingSearch(SPACE, 64, 5, 4, max_concurrent_trials=7), [5]),
        # 0: divisor ** (rungs - 1), here 4 ** 2, at most the trials.
        (AsyncHalvingSearch(SPACE, 64, 100, 3, max_concurrent_trials=0), [16]),
        (AsyncHalvingSearch(SPACE, 64, 9, 3, max_concurrent_trials=0), [9]),
        # 16 over three brackets.
        (AdaptiveASHASearch(SPACE, 64, 64), [6, 5, 5]),
        # Fewer than brackets: one for each.
        (AdaptiveASHASearch(SPACE, 64, 64, max_concurrent_trials=2), [1, 1, 1]),
        # 0: the trials of the last bracket, 5; for the second table above.
        (AdaptiveASHASearch(SPACE, 64, 64, max_concurrent_trials=0), [5, 5, 5]),
        # The last bracket has 2 trials; floor(4) is more, but there are only 2.
        (AdaptiveASHASearch(SPACE, 64, 64, max_concurrent_trials=0, mode="conservative"), [4, 4, 4, 2]),
    ],
)
def test_each_bracket_starts_with_its_share_of_the_places(method: BracketSearch, expected: list[int]) -> None:
    search = BusySearch(lambda: method)
    search.run(2_000)
    first = search.told[0][1]
    assert len([op for op in first if type(op).__name__ == "Create"]) == sum(expected)
    assert [min(bracket.plan.concurrent, bracket.plan.max_trials) for bracket in method.brackets] == expected
    assert search.most == sum(expected)
