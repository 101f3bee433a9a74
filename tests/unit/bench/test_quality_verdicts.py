from __future__ import annotations

import pytest

from bench.quality.campaign import MARKS, Outcome, Run
from bench.quality.verdicts import Difference, Pairing, holm, judge, t_tail

PAIRING = Pairing("ours", "theirs", ("p", "q"))


def outcomes(method: str, *regrets: float, problems: tuple[str, ...] = ("p", "q")) -> dict[Run, Outcome]:
    found = {}
    for problem in problems:
        for seed, regret in enumerate(regrets):
            run = Run(method, problem, 4, seed)
            found[run] = Outcome(run, (regret,) * len(MARKS), (regret,) * len(MARKS), 1, 0.0)
    return found


@pytest.mark.parametrize(
    ("t", "degrees"), [(6.314, 1), (2.920, 2), (2.353, 3), (1.812, 10), (1.729, 19), (1.645, 10_000)]
)
def test_one_in_twenty_is_above_the_tabulated_quantile(t: float, degrees: int) -> None:
    assert t_tail(t, degrees) == pytest.approx(0.05, abs=2e-4)
    assert t_tail(-t, degrees) == pytest.approx(0.95, abs=2e-4)


def test_results_that_do_not_differ_are_identical() -> None:
    verdict = judge(PAIRING, 4, outcomes("ours", 0.1, 0.2) | outcomes("theirs", 0.1, 0.2))
    assert verdict is not None
    assert (verdict.words, verdict.met) == ("identical", True)


def test_a_lead_that_varies_as_much_as_it_is_large_is_noise() -> None:
    verdict = judge(PAIRING, 4, outcomes("ours", 0.3, 0.1, 0.3, 0.2) | outcomes("theirs", 0.1, 0.2, 0.2, 0.3))
    assert verdict is not None
    assert (verdict.words, verdict.met) == ("equal", True)


def test_a_steady_lead_of_the_other_is_no_noise() -> None:
    verdict = judge(PAIRING, 4, outcomes("ours", 0.31, 0.32, 0.29, 0.3) | outcomes("theirs", 0.1, 0.1, 0.1, 0.1))
    assert verdict is not None
    assert (verdict.words, verdict.met) == ("worse", False)
    assert {problem for problem, _, _ in verdict.worse} == {"p", "q"}


def test_one_bad_problem_is_not_made_up_for_by_another() -> None:
    ours = outcomes("ours", 0.31, 0.32, 0.29, 0.3, 0.3, problems=("p",)) | outcomes("ours", *[0.0] * 5, problems=("q",))
    verdict = judge(PAIRING, 4, ours | outcomes("theirs", *[0.2] * 5))
    assert verdict is not None
    assert verdict.whole.mean < 0
    assert not verdict.met
    assert {problem for problem, _, _ in verdict.worse} == {"p"}


def test_only_seeds_that_both_have_finished_count() -> None:
    verdict = judge(PAIRING, 4, outcomes("ours", 0.1, 0.2, 0.9) | outcomes("theirs", 0.1, 0.3))
    assert verdict is not None
    assert verdict.whole == Difference.of([0.0, 0.2 - 0.3])


def test_holm_stops_at_the_first_that_it_keeps() -> None:
    assert holm({("a", 1): 0.01, ("b", 1): 0.04, ("c", 1): 0.03}, 0.05) == [("a", 1)]
