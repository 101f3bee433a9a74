"""The rules of successive halving, one by one."""

from __future__ import annotations

import math
import uuid
from typing import Any

import pytest

from determined.domain.events import ExitedReason
from determined.domain.hparams import Double, Space
from determined.domain.operations import Create, Operation, ValidateAfter
from determined.domain.reasons import numbers_of
from determined.domain.search_method import SearcherState
from determined.errors import InvalidInput
from determined.methods.adaptive_asha import AdaptiveASHASearch
from determined.methods.async_halving import AsyncHalvingSearch

SPACE = Space.of({"x": Double(0, 1)})
STATE = SearcherState()


class Hand:
    """A search whose trials report when the test says so; trials are named by their numbers."""

    def __init__(self, **settings: Any) -> None:
        defaults: dict[str, Any] = {"max_length": 4, "max_trials": 8, "num_rungs": 3, "divisor": 2}
        self.method = AsyncHalvingSearch(SPACE, **{**defaults, **settings})
        self.ids: list[uuid.UUID] = []
        self.last: list[Operation] = []
        self.hear(self.method.initial_operations(STATE))

    def hear(self, operations: list[Operation]) -> list[str]:
        self.last = operations
        self.ids += [op.request_id for op in operations if isinstance(op, Create)]
        return [self.text(op) for op in operations]

    def text(self, op: Operation) -> str:
        number = self.ids.index(op.request_id)  # type: ignore[union-attr]
        if isinstance(op, ValidateAfter):
            return f"train {number} to {op.length}"
        return f"{type(op).__name__.lower()} {number}"

    def report(self, number: int, metric: Any) -> list[str]:
        return self.hear(self.method.on_validation_completed(STATE, self.ids[number], metric, 0))

    def exit(self, number: int, reason: ExitedReason = ExitedReason.ERRORED) -> list[str]:
        return self.hear(self.method.on_trial_exited_early(STATE, self.ids[number], reason))

    def closed(self, number: int) -> list[str]:
        return self.hear(self.method.on_trial_closed(STATE, self.ids[number]))

    @property
    def why(self) -> list[str]:
        return [str(op.reason) for op in self.last if not isinstance(op, Create) or op.reason]  # type: ignore[union-attr]

    @property
    def progress(self) -> float:
        return self.method.progress(STATE)


def test_the_first_trials_train_for_the_lowest_rung_and_are_not_closed() -> None:
    hand = Hand(max_concurrent_trials=2)
    assert [hand.text(op) for op in hand.last] == ["create 0", "train 0 to 1", "create 1", "train 1 to 1"]
    assert hand.why[:2] == ["2 at a time: starts trial 1 of 8", "trains to 1 for rung 0"]


def test_a_result_inside_the_top_share_is_promoted_at_once() -> None:
    hand = Hand(max_concurrent_trials=2)
    assert hand.report(0, 0.5) == ["create 2", "train 2 to 1"]
    assert hand.why[0] == "nothing to promote: starts trial 3 of 8"
    assert hand.report(1, 0.4) == ["train 1 to 2"]
    assert hand.why == ["reached 1 with 0.4: rank 1 of 2 in rung 0, inside the top 1/2 (1): goes on to 2"]
    assert numbers_of(hand.last[0].reason) == {  # type: ignore[union-attr]
        "length": 1,
        "metric": 0.4,
        "rank": 1,
        "of": 2,
        "rung": 0,
        "divisor": 2,
        "places": 1,
        "next_length": 2,
    }


def test_a_result_that_makes_room_promotes_the_one_that_waited_for_it() -> None:
    hand = Hand(max_concurrent_trials=2)
    hand.report(0, 0.4)
    assert hand.report(1, 0.5) == ["train 0 to 2"]
    assert hand.why == ["2 results in rung 0 leave room for 1; rank 1 with 0.4 was waiting: goes on to 2"]


def test_nobody_is_promoted_twice() -> None:
    hand = Hand(max_concurrent_trials=4)
    hand.report(0, 0.4)
    assert hand.report(1, 0.3) == ["train 1 to 2"]
    # Rank 2 of 3 is outside of the one place; rank 1 has it already.
    assert hand.report(2, 0.35) == ["create 5", "train 5 to 1"]
    # The second of two places is that of trial 2.
    assert hand.report(3, 0.9) == ["train 2 to 2"]


def test_a_result_ranks_after_equal_ones() -> None:
    hand = Hand(max_concurrent_trials=2)
    hand.report(0, 0.5)
    assert hand.report(1, 0.5) == ["train 0 to 2"]


def test_a_trial_that_reaches_the_top_is_closed_and_makes_room_for_a_new_one() -> None:
    hand = Hand(num_rungs=1, max_concurrent_trials=1)
    assert hand.report(0, 0.5) == ["close 0", "create 1", "train 1 to 4"]
    assert hand.why[0] == "reached the full length 4 with 0.5: rank 1 of 1"
    assert hand.why[1] == "a trial reached the full length: starts trial 2 of 8"


def test_no_more_trials_are_started_than_allowed() -> None:
    hand = Hand(max_trials=2, max_concurrent_trials=1, divisor=4)
    assert hand.report(0, 0.5) == ["create 1", "train 1 to 1"]
    assert not any(text.startswith("create") for text in hand.report(1, 0.5))


def test_when_all_have_reported_the_unpromoted_are_closed_from_the_bottom_up_to_the_first_busy_rung() -> None:
    hand = Hand(max_trials=5, max_concurrent_trials=5)
    hand.report(0, 0.1)
    hand.report(1, 0.2)
    assert hand.report(2, 0.3) == []
    assert hand.report(3, 0.4) == ["train 1 to 2"]
    # Rung 0 is complete; trials 0 and 1 are on their way in rung 1.
    assert hand.report(4, 0.35) == ["close 2", "close 3", "close 4"]
    assert hand.why == [
        "not promoted from rung 0: rank 3 of 5, outside the top 1/2 (2)",
        "not promoted from rung 0: rank 5 of 5, outside the top 1/2 (2)",
        "not promoted from rung 0: rank 4 of 5, outside the top 1/2 (2)",
    ]
    assert hand.report(0, 0.1) == []
    # Rung 1 is complete as well, but for the one that it sends to the top.
    assert hand.report(1, 0.2) == ["train 0 to 4", "close 1"]
    assert hand.why[1] == "not promoted from rung 1: rank 2 of 2, outside the top 1/2 (1)"
    assert hand.report(0, 0.1) == ["close 0"]


def test_an_early_exit_counts_as_the_worst_result() -> None:
    hand = Hand(max_concurrent_trials=2)
    assert hand.exit(0) == ["create 2", "train 2 to 1"]
    assert hand.why[0] == "a trial ended early: starts trial 3 of 8"
    assert hand.report(1, 1e300) == ["train 1 to 2"]


def test_an_early_exit_makes_room_like_any_result() -> None:
    hand = Hand(max_concurrent_trials=2)
    hand.report(0, 0.5)
    assert hand.exit(1, ExitedReason.USER_CANCELED) == ["train 0 to 2"]


def test_a_promoted_trial_that_has_ended_is_the_worst_of_the_next_rung_and_of_those_above() -> None:
    hand = Hand(max_concurrent_trials=4)
    hand.report(0, 0.4)  # starts trial 4
    hand.report(1, 0.3)  # goes on
    assert hand.exit(0) == []
    assert hand.report(2, 0.5) == ["create 5", "train 5 to 1"]
    # The result of trial 0 waited. Now there is room for it, but it has ended: it is the worst of rung 1, where trial 1
    # has not reported yet.
    assert hand.report(3, 0.6) == ["create 6", "train 6 to 1"]
    # Trial 1 is the second result of rung 1, and the better one.
    assert hand.report(1, 0.3) == ["train 1 to 4"]


def test_an_idle_trial_that_ends_keeps_its_result_and_gives_no_place_away() -> None:
    hand = Hand(max_concurrent_trials=2)
    hand.report(0, 0.4)
    before = hand.progress
    assert hand.exit(0) == []
    assert hand.closed(0) == []
    assert hand.progress == before


def test_an_invalid_point_is_taken_out_of_all_rungs_closed_and_replaced() -> None:
    hand = Hand(max_concurrent_trials=2)
    hand.report(0, 0.4)
    hand.report(1, 0.5)  # promotes trial 0
    assert hand.exit(0, ExitedReason.INVALID_HP) == ["close 0", "create 3", "train 3 to 1"]
    assert hand.why[0] == "its hyperparameters are invalid"
    assert hand.why[1] == "replaces a trial with invalid hyperparameters: starts trial 3 of 8"
    assert [len(rung) for rung in hand.method.brackets[0].rungs] == [1, 0, 0]
    # With trial 0 gone, trial 1 is the better of the two.
    assert hand.report(2, 0.6) == ["train 1 to 2"]


def test_a_rung_waits_for_the_replacement_of_an_invalid_point() -> None:
    hand = Hand(max_trials=2, num_rungs=2, max_concurrent_trials=2)
    hand.report(0, 0.4)
    assert hand.report(1, 0.5) == ["train 0 to 4", "close 1"]
    hand.closed(1)
    assert hand.exit(0, ExitedReason.INVALID_HP) == ["close 0", "create 2", "train 2 to 2"]
    hand.closed(0)
    # The new place is that of trial 1, which was closed when nothing was to come: it is the worst of the top at once.
    assert hand.report(2, 0.6) == ["close 2"]
    hand.closed(2)
    assert hand.progress == 1.0


def test_a_place_that_an_invalid_point_leaves_goes_to_whom_the_next_growth_finds() -> None:
    hand = Hand(max_trials=3, num_rungs=2, divisor=1.5, max_concurrent_trials=3)
    hand.report(0, 0.1)
    assert hand.report(1, 0.2) == ["train 0 to 4"]
    assert hand.exit(0, ExitedReason.INVALID_HP)[0] == "close 0"
    # n = 2 again: floor(2 / 1.5) = 1 place, index 0 is trial 1.
    assert hand.report(2, 0.3) == ["train 1 to 4"]
    # n = 3: two places, and the better new one takes its own; trial 2 is left with index 2.
    assert hand.report(3, 0.05) == ["train 3 to 4", "close 2"]
    assert hand.why[1] == "not promoted from rung 0: rank 3 of 3, outside the top 1/1.5 (2)"


def test_a_trial_inside_the_top_share_may_stay_behind_when_a_better_one_was_taken_out() -> None:
    hand = Hand(max_trials=3, num_rungs=2, max_concurrent_trials=3)
    hand.report(0, 0.1)
    assert hand.report(1, 0.2) == ["train 0 to 4"]
    assert hand.report(2, 0.3) == ["close 1", "close 2"]
    assert hand.exit(0, ExitedReason.INVALID_HP)[0] == "close 0"
    # Three results again, one place as before, and its owner, trial 1, is over: nothing grows.
    assert hand.report(3, 0.4) == ["close 3"]
    hand = Hand(max_trials=3, num_rungs=2, max_concurrent_trials=4)
    hand.report(0, 0.1)
    hand.report(1, 0.2)
    hand.exit(0, ExitedReason.INVALID_HP)
    assert hand.exit(2, ExitedReason.INVALID_HP)[0] == "close 2"


def test_a_trial_that_somebody_else_closes_counts_as_ended_early() -> None:
    hand = Hand(max_concurrent_trials=2)
    assert hand.closed(0) == ["create 2", "train 2 to 1"]
    assert hand.closed(0) == []
    assert hand.report(1, 0.5) == ["train 1 to 2"]
    assert hand.closed(1) == ["create 3", "train 3 to 1"]
    assert hand.report(2, 0.6) == ["create 4", "train 4 to 1"]
    # Trial 2 waited, without work.
    assert hand.closed(2) == []


def test_strangers_and_late_reports_change_nothing() -> None:
    hand = Hand(max_concurrent_trials=1)
    stranger = uuid.UUID(int=1)
    assert hand.method.on_trial_created(STATE, stranger) == []
    assert hand.method.on_validation_completed(STATE, stranger, 0.5, 1) == []
    assert hand.method.on_trial_exited_early(STATE, stranger, ExitedReason.ERRORED) == []
    assert hand.method.on_trial_closed(STATE, stranger) == []
    hand.report(0, 0.5)
    assert hand.report(0, 0.1) == []
    assert hand.exit(0) == []
    assert hand.exit(0) == []


def test_progress_counts_results_of_the_lowest_rung_and_at_the_end_the_trials_that_are_over() -> None:
    hand = Hand(max_trials=2, num_rungs=1, max_concurrent_trials=2)
    assert hand.progress == 0.0
    hand.report(0, 0.5)
    assert hand.progress == 1 / 2.4
    hand.closed(0)
    assert hand.progress == 1 / 2.4
    hand.report(1, 0.5)
    assert hand.progress == 2 / 2.4
    hand.closed(1)
    assert hand.progress == 1.0


def test_larger_can_be_better_and_reasons_keep_the_sign_of_the_metric() -> None:
    hand = Hand(max_concurrent_trials=2, smaller_is_better=False)
    hand.report(0, 0.9)
    assert hand.report(1, 0.1) == ["train 0 to 2"]
    assert "rank 1 with 0.9 was waiting" in hand.why[0]


@pytest.mark.parametrize("smaller_is_better", [True, False])
@pytest.mark.parametrize("stop_once", [True, False])
def test_nan_is_worse_than_any_number(smaller_is_better: bool, stop_once: bool) -> None:
    hand = Hand(max_concurrent_trials=3, smaller_is_better=smaller_is_better, stop_once=stop_once, num_rungs=2)
    hand.report(0, math.nan)
    assert hand.report(1, 1e300 if smaller_is_better else -1e300) == ["train 1 to 4"]
    assert hand.report(2, math.nan)[-2:] == ["create 3", "train 3 to 2"] or not stop_once


@pytest.mark.parametrize("metric", ["0.5", None, {"loss": 0.5}, [1], True])
def test_a_metric_that_is_no_number_is_an_error_that_says_what_to_do(metric: Any) -> None:
    with pytest.raises(InvalidInput, match="report_completed with a float"):
        Hand().report(0, metric)


@pytest.mark.parametrize("metric", [3, 10**400, -(10**400)])
def test_whole_numbers_are_metrics_of_any_size(metric: int) -> None:
    hand = Hand(max_concurrent_trials=1)
    assert hand.report(0, metric) == ["create 1", "train 1 to 1"]


def test_with_stop_once_a_trial_goes_on_or_ends_when_it_reports() -> None:
    hand = Hand(max_concurrent_trials=4, stop_once=True)
    # The first is never stopped: one place is always there.
    assert hand.report(0, 0.5) == ["train 0 to 2"]
    assert hand.why == ["reached 1 with 0.5: rank 1 of 1 in rung 0, inside the top 1/2 (1): goes on to 2"]
    assert hand.report(1, 0.6) == ["close 1", "create 4", "train 4 to 1"]
    assert hand.why[0] == "reached 1 with 0.6: rank 2 of 2 in rung 0, outside the top 1/2 (1): stopped"
    assert hand.why[1] == "a trial was stopped: starts trial 5 of 8"
    # New results rank before equal ones.
    assert hand.report(2, 0.5) == ["train 2 to 2"]
    # Nobody is promoted later on, although there are two places now.
    assert hand.report(3, 0.7) == ["close 3", "create 5", "train 5 to 1"]


def test_with_stop_once_a_trial_that_ended_may_go_on_to_the_top_as_the_worst() -> None:
    hand = Hand(max_concurrent_trials=1, stop_once=True)
    assert hand.exit(0) == ["create 1", "train 1 to 1"]
    assert [len(rung) for rung in hand.method.brackets[0].rungs] == [1, 1, 1]


def test_with_stop_once_a_trial_that_ends_and_ranks_low_goes_nowhere() -> None:
    hand = Hand(max_concurrent_trials=2, stop_once=True)
    hand.report(0, 0.5)
    assert hand.exit(1) == ["create 2", "train 2 to 1"]
    assert [len(rung) for rung in hand.method.brackets[0].rungs] == [2, 0, 0]


def test_reasons_name_the_bracket_when_there_are_several() -> None:
    method = AdaptiveASHASearch(SPACE, 16, 16, divisor=2, max_concurrent_trials=1, max_rungs=3)
    created = [op for op in method.initial_operations(STATE) if isinstance(op, Create)]
    assert [op.reason for op in created] == [
        "1 at a time: starts trial 1 of 10 in bracket 0",
        "1 at a time: starts trial 1 of 6 in bracket 1",
    ]
    method.on_validation_completed(STATE, created[1].request_id, 0.5, 8)
    second = next(rid for rid in method.members if rid not in {op.request_id for op in created})
    [goes_on] = method.on_validation_completed(STATE, second, 0.25, 8)
    reason = goes_on.reason  # type: ignore[union-attr]
    assert reason == "reached 8 with 0.25: rank 1 of 2 in rung 0 of bracket 1, inside the top 1/2 (1): goes on to 16"
    assert numbers_of(reason)["bracket"] == 1


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"max_length": 0}, "max_length"),
        ({"max_trials": 0}, "max_trials"),
        ({"max_trials": 1.5}, "max_trials"),
        ({"max_concurrent_trials": -1}, "max_concurrent_trials"),
        ({"num_rungs": 0}, "num_rungs"),
        ({"num_rungs": 99}, "use fewer"),
        ({"divisor": 1}, "divisor"),
        ({"divisor": math.nan}, "divisor"),
        ({"divisor": "4"}, "divisor"),
        ({"stop_once": "yes"}, "stop_once must be True or False, got 'yes'"),
        ({"smaller_is_better": 0}, "smaller_is_better must be True or False, got 0"),
        ({"seed": "x"}, "seed must be a whole number, got 'x'"),
        ({"seed": 1.5}, r"seed must be a whole number, got 1\.5"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        Hand(**settings)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(InvalidInput, match="one of aggressive, standard, conservative"):
        AdaptiveASHASearch(SPACE, 16, 16, mode="fast")
