from __future__ import annotations

import json
import math
import uuid
from typing import Any

import pytest

from determined.domain.events import ExitCause, ExitedReason
from determined.domain.hparams import Categorical, Double, Space
from determined.domain.operations import Close, Create, Operation, ValidateAfter
from determined.domain.reasons import numbers_of
from determined.domain.search_method import SearcherState
from determined.errors import InvalidInput
from determined.methods.pbt import PBTSearch
from tests.unit.methods.busy_search import BusySearch

SPACE = Space.of({"lr": Double(0, 1), "act": Categorical(("relu", "tanh"))})
STATE = SearcherState()


class Hand:
    """A population of four with three rounds of ten; trials are named by their numbers."""

    def __init__(self, **settings: Any) -> None:
        defaults: dict[str, Any] = {"max_length": 30, "population_size": 4, "num_rounds": 3, "resample_probability": 0}
        self.method = PBTSearch(SPACE, **{**defaults, **settings})
        self.creates: list[Create] = []
        self.last: list[Operation] = []
        self.hear(self.method.initial_operations(STATE))

    def hear(self, operations: list[Operation]) -> list[str]:
        self.last = operations
        self.creates += [op for op in operations if isinstance(op, Create)]
        return [self.text(op) for op in operations]

    @property
    def ids(self) -> list[uuid.UUID]:
        return [op.request_id for op in self.creates]

    def text(self, op: Operation) -> str:
        number = self.ids.index(op.request_id)  # type: ignore[union-attr]
        if isinstance(op, ValidateAfter):
            return f"train {number} to {op.length}"
        if isinstance(op, Create) and op.source_trial is not None:
            return f"copy {self.ids.index(op.source_trial)} as {number}"
        return f"{type(op).__name__.lower()} {number}"

    def report(self, **metrics: float) -> list[str]:
        """The last answer; names are like t0."""
        for name, metric in metrics.items():
            answer = self.method.on_validation_completed(STATE, self.ids[int(name[1:])], metric, 0)
        return self.hear(answer)

    def exit(self, number: int, reason: ExitedReason = ExitedReason.ERRORED) -> list[str]:
        return self.hear(self.method.on_trial_exited_early(STATE, self.ids[number], reason))

    @property
    def why(self) -> list[str]:
        return [str(op.reason) for op in self.last]  # type: ignore[union-attr]

    def point(self, number: int) -> dict[str, Any]:
        point: dict[str, Any] = json.loads(self.creates[number].hparams)
        return point


def test_the_population_starts_with_random_points_and_trains_for_one_round() -> None:
    hand = Hand()
    assert [hand.text(op) for op in hand.last][:4] == ["create 0", "train 0 to 10", "create 1", "train 1 to 10"]
    assert hand.why[:2] == ["member 1 of 4", "round 1 of 3"]
    assert len({hand.point(n)["lr"] for n in range(4)}) == 4


def test_nothing_happens_before_the_round_is_over() -> None:
    hand = Hand()
    assert hand.report(t0=0.1, t1=0.4, t2=0.3) == []
    assert hand.method.progress(STATE) == 3 / 12


def test_the_worst_goes_on_as_a_changed_copy_of_the_best() -> None:
    hand = Hand()
    assert hand.report(t0=0.1, t1=0.4, t2=0.3, t3=0.2) == [
        "close 1",
        "copy 0 as 4",
        "train 4 to 20",
        "train 0 to 20",
        "train 3 to 20",
        "train 2 to 20",
    ]
    parent, child = hand.point(0), hand.point(4)
    assert child["lr"] in (pytest.approx(parent["lr"] * 1.2), pytest.approx(parent["lr"] * 0.8))
    assert child["act"] == parent["act"]
    changed = f"lr {parent['lr']:.6g} -> {child['lr']:.6g}"
    assert hand.why[:4] == [
        "reached 10 with 0.4: rank 4 of 4: its place goes to trial 5",
        f"replaces trial 2 (rank 4 of 4) with a copy of trial 1 (rank 1 with 0.1); what changes: {changed}",
        "round 2 of 3",
        "reached 10 with 0.1: rank 1 of 4: goes on to 20",
    ]
    numbers = numbers_of(hand.last[1].reason)  # type: ignore[union-attr]
    assert numbers == {
        "trial": 2,
        "rank": 4,
        "of": 4,
        "parent": 1,
        "parent_rank": 1,
        "parent_metric": 0.1,
        "changes": changed,
    }


def test_larger_can_be_better() -> None:
    assert Hand(smaller_is_better=False).report(t0=0.1, t1=0.4, t2=0.3, t3=0.2)[:2] == ["close 0", "copy 1 as 4"]


def test_after_the_last_round_everybody_is_closed_and_nobody_is_copied() -> None:
    hand = Hand(num_rounds=1)
    hand.exit(3)
    assert hand.report(t0=0.1, t1=0.4, t2=0.3) == ["close 0", "close 2", "close 1"]
    assert hand.why[0] == "reached 30 with 0.1: rank 1 of 4: the last round is over"
    assert hand.method.progress(STATE) == 1.0
    assert hand.exit(0) == []


def test_rounds_end_at_even_shares_of_the_length() -> None:
    hand = Hand(max_length=32, truncate_fraction=0)
    assert hand.report(t0=0.1, t1=0.4, t2=0.3, t3=0.2)[0] == "train 0 to 21"
    assert hand.report(t0=0.1, t1=0.4, t2=0.3, t3=0.2)[0] == "train 0 to 32"


def test_a_member_that_ends_early_is_replaced_even_if_it_was_good() -> None:
    hand = Hand(truncate_fraction=0)
    hand.exit(1)
    hand.report(t0=0.1)
    hand.exit(0)  # it has its result, and no work
    assert hand.report(t2=0.3, t3=0.2)[:4] == ["copy 0 as 4", "train 4 to 20", "copy 0 as 5", "train 5 to 20"]


def test_a_metric_that_is_no_number_makes_no_parent() -> None:
    hand = Hand(truncate_fraction=0.5)
    answer = hand.report(t0=math.nan, t1=math.inf, t2=math.nan, t3=0.2)
    assert [text for text in answer if text.startswith("copy")] == ["copy 3 as 4", "copy 3 as 5"]
    hand = Hand(truncate_fraction=0.5)
    assert hand.report(t0=math.nan, t1=math.nan, t2=math.nan, t3=math.inf) == [
        f"train {number} to 20" for number in range(4)
    ]


def test_a_population_without_any_metric_begins_anew() -> None:
    hand = Hand()
    hand.exit(0)
    hand.exit(1)
    hand.report(t2=math.nan)
    assert hand.exit(3)[:2] == ["create 4", "train 4 to 20"]
    assert hand.why[0] == "replaces trial 1, which ended early; no member has a metric to go by"


def test_an_invalid_random_point_is_drawn_anew() -> None:
    hand = Hand()
    assert hand.exit(1, ExitedReason.INVALID_HP) == ["create 4", "train 4 to 10"]
    assert hand.why[0] == "replaces trial 2, whose hyperparameters are invalid"


def test_an_invalid_copy_is_made_again_from_the_same_parent() -> None:
    hand = Hand()
    hand.report(t0=0.1, t1=0.4, t2=0.3, t3=0.2)
    assert hand.exit(4, ExitedReason.INVALID_HP) == ["copy 0 as 5", "train 5 to 20"]
    assert hand.why[0].startswith("replaces trial 5, whose hyperparameters are invalid; what changes: lr ")
    assert hand.method.progress(STATE) == 4 / 12


def test_an_idle_member_with_invalid_hyperparameters_is_no_parent() -> None:
    hand = Hand()
    hand.report(t0=0.1)
    assert hand.exit(0, ExitedReason.INVALID_HP) == []
    assert hand.report(t1=0.4, t2=0.3, t3=0.2)[:2] == ["copy 3 as 4", "train 4 to 20"]


def test_a_member_that_somebody_else_closes_counts_as_ended_early() -> None:
    hand = Hand()
    assert hand.method.on_trial_closed(STATE, hand.ids[0]) == []
    assert hand.method.on_trial_closed(STATE, hand.ids[0]) == []
    assert hand.method.on_trial_created(STATE, hand.ids[1]) == []
    assert hand.report(t1=0.4, t2=0.3, t3=0.2)[:2] == ["copy 3 as 4", "train 4 to 20"]
    assert hand.report(t0=0.5) == []


def test_the_seed_decides() -> None:
    one, same, other = (
        BusySearch(lambda: PBTSearch(SPACE, 12, 6, 4, seed=seed), lambda n, h, length: h["lr"]).run()  # noqa: B023
        for seed in (1, 1, 2)
    )
    assert one.told == same.told
    assert one.told != other.told


def test_a_population_gets_better() -> None:
    def metric(number: int, hparams: Any, length: int) -> float:
        return abs(float(hparams["lr"]) - 0.3)

    search = BusySearch(
        lambda: PBTSearch(SPACE, 40, 10, 20, resample_probability=0.0, truncate_fraction=0.3),
        metric,
        lambda number, length: ExitCause.ERRORED if number == 3 else None,
    ).run()
    assert sum(search.reached.values()) == 10 * 20 - 1
    last = [metric(0, job.hparams, 0) for job in search.jobs.values()]
    assert sum(last[-10:]) < sum(last[:10]) / 3


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"max_length": 0}, "max_length"),
        ({"population_size": 1}, "population_size"),
        ({"num_rounds": 0}, "num_rounds"),
        ({"num_rounds": 31}, "do not fit"),
        ({"truncate_fraction": 0.6}, "truncate_fraction must be a number from 0 to 0.5"),
        ({"resample_probability": -0.1}, "resample_probability"),
        ({"perturb_factor": math.nan}, "perturb_factor"),
        ({"smaller_is_better": "no"}, "smaller_is_better must be True or False, got 'no'"),
        ({"seed": None}, "seed must be a whole number, got None"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        Hand(**settings)


def test_closing_needs_no_more_than_the_members_that_are_there() -> None:
    hand = Hand(num_rounds=1)
    hand.report(t0=0.1, t1=0.4, t2=0.3, t3=0.2)
    assert all(isinstance(op, Close) for op in hand.last)
