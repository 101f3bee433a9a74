"""The table of trials in few bytes, and rungs of which not all results are sent."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from determined.master.ui.folding import FOLDED_FROM, deltas, different, folded, fractions, round_off
from determined.master.ui.rungs import Ladder, Step, Steps, sample
from tests.unfold import unfold

VALUES = st.lists(
    st.none() | st.floats() | st.integers(-(10**8), 10**8), min_size=FOLDED_FROM, max_size=FOLDED_FROM + 3
)


def through_json(value: Any) -> Any:
    """As a page gets it, for which whatever is not finite is nothing."""
    return json.loads(json.dumps(value))


@given(VALUES)
def test_fractions_come_back_to_seven_digits_whatever_they_are(values: list[Any]) -> None:
    back = unfold({"columns": {"x": through_json(fractions(values))}, "hparams": []})["columns"]["x"]
    for value, got in zip(values, back, strict=True):
        if value is None or not math.isfinite(value):
            assert got is None or not math.isfinite(got)
        else:
            assert got == round_off(value) or got == pytest.approx(value, rel=6e-7)


def test_seven_digits_are_the_very_same_number() -> None:
    values = [round_off(0.1 + k / 7e5) for k in range(FOLDED_FROM)] + [-1.5e-30, 0.0, 3e200, -0.25]
    shown = fractions(values)
    assert set(shown) == {"whole", "powers"}
    assert unfold({"columns": {"x": shown}, "hparams": []})["columns"]["x"] == values


def test_whole_numbers_and_short_columns_stay_as_they_are() -> None:
    assert fractions([1, 2, None] * FOLDED_FROM) == [1, 2, None] * FOLDED_FROM
    assert fractions([0.1234567891]) == [0.1234568]
    # What has more digits than are kept would become another number.
    assert fractions([123456789, *[0.5] * FOLDED_FROM])[0] == 123456789


def test_what_columns_share_is_not_sent_again() -> None:
    assert deltas([5, 6, 7, 9], 1) == {"deltas": [5, 1, 1, 2], "per": 1}
    assert deltas([1.25, 1.5], 100) == {"deltas": [125, 25], "per": 100}
    best = [0.5, None, 0.25, 1.0]
    assert different([0.5, None, 0.75, None], best, "best") == {"like": "best", "rows": [2, 1], "values": [0.75, None]}
    short = {"count": 1, "columns": {"id": [1]}, "hparams": []}
    assert folded(short) is short


def rung(waiting: int, running: int) -> list[tuple[int, float | None, str]]:
    return [(n, n / 10, "waiting") for n in range(waiting)] + [(1000 + n, None, "running") for n in range(running)]


def test_a_sample_of_a_rung_holds_the_best_the_worst_and_whoever_is_asked_for() -> None:
    results = rung(500, 100)
    assert sample(results, 600, ()) is results
    shown = sample(results, 40, {333, 1099})
    assert len(shown) == 42
    assert shown == sorted(shown, key=results.index)
    assert shown[:10] == results[:10]
    assert {499, 333, 1000, 1009, 1099} <= {trial for trial, _, _ in shown}
    gaps = [b[0] - a[0] for a, b in pairwise(shown[10:]) if b[0] < 500 and 333 not in (a[0], b[0])]
    assert max(gaps) - min(gaps) <= 1, "evenly by rank"
    assert sample(rung(0, 9), 4, ()) == rung(0, 1)[:1]
    assert sample(results, 0, {7}) == [results[7]]


def test_counts_are_of_all_results_however_few_are_shown() -> None:
    ladder = Ladder()
    for trial in range(1, 31):
        ladder.take(Step.ASKED, trial, 1, math.nan, -1)
        if trial <= 20:
            ladder.take(Step.RESULT, trial, 1, float(trial), -1)
    for trial in (1, 2, 3):
        ladder.take(Step.ASKED, trial, 4, math.nan, -1)
    ladder.take(Step.ENDED, 9, 0, math.nan, -1)
    [bracket] = ladder.shown(True, 8, {20})
    low, high = bracket["rungs"]
    assert low["counts"] == {"promoted": 3, "waiting": 16, "ended": 1, "running": 10}
    assert high["counts"] == {"promoted": 0, "waiting": 0, "ended": 0, "running": 3}
    assert (len(low["results"]), low["cut"]) == (8, 3.0)
    assert 20 in {trial for trial, _, _ in low["results"]}


def test_the_last_steps_before_an_event_name_their_trials() -> None:
    steps = Steps()
    for event in range(1, 10):
        steps.add(Step.RESULT, event, 100 + event, 1, 0.5)
    assert steps.newest_trials(6, 2) == {105, 106}
    assert steps.newest_trials(0, 2) == set()
    assert [trial for _, trial, _, _, _ in steps.until(9, 7)] == [108, 109]
