"""Which checkpoints may go when a search is over."""

from __future__ import annotations

import pytest

from determined.engine.retention import Candidate, Policy, doomed

NOBODY: frozenset[str] = frozenset()


def checkpoint(uuid: str, trial: int, steps: int, metric: float | None = None, at: float = 0.0) -> Candidate:
    return Candidate(uuid, trial, steps, at, metric)


ALL = [
    checkpoint("a1", 1, 10, 0.5),
    checkpoint("a2", 1, 20, 0.2),
    checkpoint("a3", 1, 30, 0.4),
    checkpoint("b1", 2, 10, 0.1),
    checkpoint("b2", 2, 20, None),
]


@pytest.mark.parametrize(
    ("policy", "smaller", "kept"),
    [
        (Policy(0, 0, 0), True, []),
        (Policy(), True, ["a2", "a3", "b1", "b2"]),
        (Policy(), False, ["a1", "a3", "b1", "b2"]),
        (Policy(0, 0, 1), True, ["a3", "b2"]),
        (Policy(0, 0, 2), True, ["a2", "a3", "b1", "b2"]),
        (Policy(0, 1, 0), True, ["a2", "b1"]),
        (Policy(1, 0, 0), True, ["b1"]),
        (Policy(2, 0, 0), True, ["a2", "b1"]),
        (Policy(1, 0, 0), False, ["a1"]),
        (Policy(9, 9, 9), True, ["a1", "a2", "a3", "b1", "b2"]),
    ],
)
def test_what_a_policy_keeps(policy: Policy, smaller: bool, kept: list[str]) -> None:
    gone = doomed(ALL, policy, smaller, NOBODY)
    assert [c.uuid for c in ALL if c.uuid not in gone] == kept


def test_what_others_need_is_never_doomed() -> None:
    assert doomed(ALL, Policy(0, 0, 0), True, frozenset({"a1", "elsewhere"})) == ["a2", "a3", "b1", "b2"]


def test_a_checkpoint_without_a_finite_metric_never_ranks() -> None:
    assert doomed([checkpoint("a", 1, 1), checkpoint("b", 1, 2)], Policy(5, 5, 0), True, NOBODY) == ["a", "b"]


def test_of_equal_steps_the_later_report_is_the_newest() -> None:
    rows = [checkpoint("late", 1, 10, at=2.0), checkpoint("early", 1, 10, at=1.0)]
    assert doomed(rows, Policy(0, 0, 1), True, NOBODY) == ["early"]


def test_of_equal_metrics_the_earlier_steps_win() -> None:
    rows = [checkpoint("b", 1, 20, 0.5), checkpoint("a", 1, 10, 0.5)]
    assert doomed(rows, Policy(0, 1, 0), True, NOBODY) == ["b"]
