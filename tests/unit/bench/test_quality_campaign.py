from __future__ import annotations

import dataclasses
from pathlib import Path

from bench.quality import ours
from bench.quality.campaign import Outcome, ResultsFile, Run, plan
from bench.quality.incumbents import Report, Trace, regrets
from bench.quality.peers.workers import CONTINUE, STOP, drive
from bench.quality.problems import Problem, problem

OUTCOME = Outcome(Run("asha", "hartmann3-good", 4, 1), (0.4, 0.3, 0.2, 0.1), (0.4, 0.3, 0.2, 0.1), 9, 0.5)


def squares() -> Problem:
    return Problem("squares", (), (1, 3), lambda p, n, seed: p["x"] + 3 - n, lambda p: p["x"] ** 2, 0.0, 1.0)


def test_the_recommendation_is_the_best_at_the_longest_length() -> None:
    trace = Trace(
        [Report(1, 0, 1, 0.5), Report(1, 1, 1, 0.2), Report(3, 0, 3, 0.4), Report(4, 2, 3, 0.3)],
        [{"x": 0.5}, {"x": 0.1}, {"x": 0.2}],
    )
    longest, best = regrets(trace, squares(), [0.5, 2, 3, 9])
    assert longest == (0.25, 0.1**2, 0.25, 0.2**2)
    assert best == (0.25, 0.1**2, 0.1**2, 0.1**2)


def test_a_campaign_goes_on_where_its_file_ends_even_within_a_line(tmp_path: Path) -> None:
    file = ResultsFile(tmp_path / "results.jsonl")
    file.append(OUTCOME)
    with file.path.open("a") as cut:
        cut.write('{"run": {"method": "as')
    other = dataclasses.replace(OUTCOME, run=Run("random", "hartmann3-good", 4, 1))
    file.append(other)
    assert file.read() == {OUTCOME.run: OUTCOME, other.run: other}


def test_a_method_can_be_forgotten(tmp_path: Path) -> None:
    file = ResultsFile(tmp_path / "results.jsonl")
    file.append(OUTCOME)
    file.forget(["random"])
    assert list(file.read()) == [OUTCOME.run]
    file.forget(["asha"])
    assert file.read() == {}


def test_a_smaller_campaign_is_the_beginning_of_a_larger_one() -> None:
    small, large = list(plan(2)), list(plan(5))
    assert large[: len(small)] == small
    assert len(set(large)) == len(large)


class StopsAtOnce:
    """A tool that stops every other trial at its first report."""

    def __init__(self) -> None:
        self.trials = 0

    def next(self) -> tuple[int, dict[str, float]]:
        self.trials += 1
        return self.trials - 1, {"x": float(self.trials)}

    def report(self, trial: int, length: int, value: float) -> str:
        return STOP if trial % 2 else CONTINUE


def test_workers_are_never_idle_and_trials_go_on_where_they_were() -> None:
    trace = drive(StopsAtOnce(), squares(), workers=2, seed=0, until=4)
    reports = [(1, 0, 1), (1, 1, 1), (2, 2, 1), (3, 0, 3), (4, 2, 3), (4, 3, 1)]
    assert [tuple(report)[:3] for report in trace.reports] == reports


def test_full_trainings_report_at_the_shorter_lengths_on_their_way() -> None:
    trace = ours.run("random", problem("hartmann3-good"), workers=2, seed=1, until=100)
    first = [(report.time, report.length) for report in trace.reports if report.trial == 0]
    assert first == [(3, 3), (9, 9), (27, 27), (81, 81)]
    assert max(report.time for report in trace.reports) <= 100
    assert {report.trial for report in trace.reports} == {0, 1, 2, 3}


def test_promoted_trials_go_on_where_they_were() -> None:
    trace = ours.run("asha", problem("hartmann3-good"), workers=4, seed=1, until=300)
    spent = {report.trial: 0 for report in trace.reports}
    for report in trace.reports:
        spent[report.trial] = max(spent[report.trial], report.length)
    assert 4 * 300 - 4 * 54 <= sum(spent.values()) <= 4 * 300
