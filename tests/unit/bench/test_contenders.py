from __future__ import annotations

import pytest

from bench import asha, trials
from bench.contenders import Contender, Outcome, in_turns, lead, spread


def test_all_take_turns_and_those_with_fewer_runs_leave_early() -> None:
    order: list[str] = []

    def run(name: str, trials: int) -> dict[str, float]:
        order.append(name)
        return {"per_s": trials + len(order)}

    found = in_turns(
        [
            Contender("a", lambda n: run("a", n), trials=10, times=3),
            Contender("b", lambda n: run("b", n), trials=20),
            Contender("c", lambda n: run("c", n), trials=30, times=2),
        ]
    )
    assert "".join(order) == "abcaca"
    assert [outcome.values("per_s") for outcome in found] == [[11, 14, 16], [22], [33, 35]]
    assert [outcome.median("per_s") for outcome in found] == [14, 22, 34]


@pytest.mark.parametrize(
    ("values", "text"), [([12.345], "12.3"), ([3.0, 1.0, 2.0], "2 [1 .. 3]"), ([0.12345, 0.2], "0.162 [0.123 .. 0.2]")]
)
def test_a_spread_is_told_when_there_is_one(values: list[float], text: str) -> None:
    assert spread(values) == text


def contender(name: str, *, size: int = 10, ahead: float | None = None) -> Contender:
    return Contender(name, lambda _: {}, size, ahead=ahead)


def test_a_target_is_met_from_its_figure_on() -> None:
    outcome = Outcome(contender("other", ahead=2))
    assert [lead(outcome, ratio, "as fast as")[0].met for ratio in (1.9, 2.0, 2.1)] == [False, True, True]
    assert lead(Outcome(contender("limit")), 0.1, "as fast as") == []


def test_rates_are_compared_with_ours() -> None:
    section = trials.report(
        [
            Outcome(contender("ours"), [{"per_s": 50.0}, {"per_s": 60.0}, {"per_s": 10.0}]),
            Outcome(contender("other", ahead=6), [{"per_s": 10.0}]),
            Outcome(contender("limit"), [{"per_s": 500.0}]),
        ]
    )
    assert [(check.figure, check.met) for check in section.checks] == [(50, True), (5, False)]
    assert "| other | yes | 10 | 1 | 10 | 100.0 | 5 |" in section.text
    assert section.figures == {"ours per s": 50, "other per s": 10, "limit per s": 500}


def test_a_search_is_compared_with_ours_of_its_size() -> None:
    measured = {"reports": 40, "runs": 15}
    section = asha.report(
        [
            Outcome(contender("ours"), [{**measured, "wall_s": 2.0}]),
            Outcome(contender("other", ahead=1.5), [{"reports": 50, "wall_s": 4.0}]),
            Outcome(contender("ours", size=30), [{**measured, "wall_s": 10.0}]),
            Outcome(contender("other", size=30, ahead=1.5), [{"reports": 90, "wall_s": 12.0}]),
        ]
    )
    assert [(check.figure, check.met) for check in section.checks] == [(2, True), (1.2, False)]
    assert "| ours | yes | 10 | 1 | 2 | 40 | 1.50 | 1 |" in section.text
