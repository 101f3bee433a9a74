"""What running trials report, and who is listened to."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from determined.domain.facts import DeadlineKind
from determined.domain.ids import RunId
from determined.domain.states import RunPhase
from determined.engine import effects as fx
from determined.engine.trial import LiveRun
from determined.errors import FailedPrecondition, IllegalTransition, StaleRun
from tests.unit.engine.engine_driver import Driver, searching


def test_completion_leaves_the_process_alone() -> None:
    driver = searching()
    driver.complete("a", 100, 0.5)
    assert driver.new_events() == ["validated a 100 0.5"]
    assert {type(e) for e in driver.last} == {fx.TrialAdvanced, fx.TrialChanged, fx.EventEnqueued}
    assert driver.trial("a").run is not None


def test_new_work_for_a_live_process_needs_no_restart() -> None:
    driver = searching()
    driver.complete("a")
    driver.work("a", 200)
    assert driver.said(fx.OperationChanged) == [fx.OperationChanged(driver.id_of("a"))]
    assert not driver.said(fx.SlotsWanted)
    driver.complete("a", 200)
    assert driver.rows[driver.id_of("a")].run_id == 1


def test_new_work_for_an_idle_trial_starts_its_next_run_from_its_checkpoint() -> None:
    driver = searching()
    driver.checkpoint("a", "first", 100)
    driver.complete("a")
    driver.finish("a")
    driver.work("a", 200)
    assert driver.said(fx.SlotsWanted) == [fx.SlotsWanted(driver.id_of("a"), RunId(2), 1)]
    driver.grant("a", slot_ids=(3,))
    assert driver.last[-1] == fx.RunStart(driver.id_of("a"), RunId(2), (3,), "first", 100)
    assert driver.new_events() == ["validated a 100 0.5"]


@pytest.mark.parametrize(
    ("saved", "chosen"),
    [
        ([], ("warm", 0)),
        ([("a", 0)], ("a", 0)),
        ([("a", 10), ("b", 30), ("c", 20)], ("b", 30)),
        ([("a", 10), ("b", 10)], ("b", 10)),
    ],
)
def test_a_run_starts_from_the_newest_checkpoint_by_steps(
    saved: list[tuple[str, int]], chosen: tuple[str, int]
) -> None:
    driver = searching(warm_start="warm")
    for uuid, steps in saved:
        driver.checkpoint("a", uuid, steps)
    driver.exit("a", 1)
    driver.grant("a")
    start = driver.said(fx.RunStart)[0]
    assert (start.checkpoint, start.steps) == chosen


@pytest.mark.parametrize(
    "metric", [0.5, 3, math.nan, math.inf, "good", True, [1, math.nan], {"a": {"b": math.nan}}, 10**40]
)
def test_a_repeated_completion_is_accepted_once(metric: Any) -> None:
    """The answer to the first report was lost, so the client sends it again. NaN has to equal itself here."""
    driver = searching()
    driver.complete("a", 100, metric)
    assert driver.complete("a", 100, metric) == []
    assert driver.new_events() == [f"validated a 100 {metric}"]


def test_a_repeated_completion_is_recognised_after_the_next_operation_has_come() -> None:
    driver = searching()
    driver.complete("a", 100, 0.5)
    driver.work("a", 200)
    assert driver.complete("a", 100, 0.5) == []
    assert not driver.trial("a").complete
    driver.complete("a", 200, 0.25)
    assert driver.new_events() == ["validated a 100 0.5", "validated a 200 0.25"]


@pytest.mark.parametrize(("length", "metric"), [(100, 0.25), (100, 1), (50, 0.5), (200, 0.5)])
def test_a_second_completion_that_differs_is_refused(length: int, metric: Any) -> None:
    driver = searching()
    driver.complete("a", 100, 0.5)
    with pytest.raises(FailedPrecondition, match="no operation to complete"):
        driver.complete("a", length, metric)


def test_a_completion_of_the_wrong_length_is_refused() -> None:
    driver = searching()
    with pytest.raises(FailedPrecondition, match="completed length 99, but its operation asks for 100"):
        driver.complete("a", 99)
    assert not driver.trial("a").complete


def test_a_repeat_from_the_next_run_is_no_repeat() -> None:
    driver = searching()
    driver.complete("a")
    driver.finish("a")
    driver.work("a", 200)
    driver.start("a")
    with pytest.raises(FailedPrecondition):
        driver.complete("a", 100, 0.5)


def test_progress_is_accepted_after_completion() -> None:
    driver = searching()
    driver.complete("a")
    driver.progress("a", 100)
    assert driver.last == [fx.TrialAdvanced(driver.id_of("a"), 100.0), driver.last[1]]
    assert driver.new_events() == ["validated a 100 0.5", "progress a 100"]


def test_a_report_of_progress_that_is_sent_again_is_told_once() -> None:
    """Its first answer was lost with the master; the events of a search must not depend on that."""
    driver = searching()
    for report in ("one", "one", "two", "two", "three"):
        driver.progress("a", 10, report=report)
    assert driver.new_events() == ["progress a 10"] * 3
    driver.progress("a", 10, report="three")
    assert driver.last == []


def test_equal_reports_of_progress_are_all_told() -> None:
    driver = searching()
    for _ in range(3):
        driver.progress("a", 10)
    assert driver.new_events() == ["progress a 10"] * 3


Report = Callable[[Driver, int], object]
REPORTS: list[Report] = [
    lambda d, run: d.seen("a", run),
    lambda d, run: d.exit("a", 0, run=run),
    lambda d, run: d.progress("a", 1, run),
    lambda d, run: d.complete("a", run=run),
    lambda d, run: d.invalid_hp("a", run),
    lambda d, run: d.acknowledge("a", run),
    lambda d, run: d.preempt("a", run),
    lambda d, run: d.metrics("a", 1, run),
    lambda d, run: d.checkpoint("a", "c", 1, run),
]


@pytest.mark.parametrize("report", REPORTS)
def test_reports_of_any_other_run_are_refused(report: Report) -> None:
    driver = searching()
    driver.exit("a", 1)
    for run in (0, 1, 2, 3):  # the second waits for slots: it has no process that could speak
        with pytest.raises(StaleRun, match=f"run {run} is not the current run"):
            report(driver, run)
    driver.grant("a")
    for run in (1, 3):
        with pytest.raises(StaleRun):
            report(driver, run)
    report(driver, 2)


@pytest.mark.parametrize("report", REPORTS)
def test_reports_for_trials_that_are_over_are_refused(report: Report) -> None:
    driver = searching()
    driver.kill("a")
    driver.exit("a", 137)
    with pytest.raises(StaleRun):
        report(driver, 1)


@pytest.mark.parametrize("run", [0, 1, 3])
def test_slots_for_a_run_that_does_not_wait_are_refused(run: int) -> None:
    driver = searching()
    driver.exit("a", 1)
    with pytest.raises(StaleRun, match="does not wait for slots"):
        driver.grant("a", run)
    driver.grant("a", 2)
    with pytest.raises(StaleRun):
        driver.grant("a", 2)


def test_passing_the_start_line_is_recorded_once() -> None:
    driver = Driver()
    driver.create("a")
    driver.grant("a")
    assert driver.rows[driver.id_of("a")].phase is RunPhase.STARTING
    driver.seen("a")
    assert driver.rows[driver.id_of("a")].phase is RunPhase.RUNNING
    assert driver.seen("a") == []


def test_metrics_decide_nothing() -> None:
    driver = searching()
    assert driver.metrics("a", 10) == []


def test_reports_count_before_the_start_line_too() -> None:
    """A script may report before it asks for its first signal."""
    driver = Driver()
    driver.create("a")
    driver.grant("a")
    driver.complete("a")
    assert driver.new_events()[-1] == "validated a 100 0.5"


def test_deadlines_find_nothing_of_trials_that_are_over() -> None:
    driver = searching()
    driver.kill("a")
    driver.exit("a", 137)
    assert driver.deadline("a", DeadlineKind.PREEMPTION, run=1) == []


def test_a_run_moves_forward_only() -> None:
    run = LiveRun(RunId(1))
    run.advance(RunPhase.STARTING)
    with pytest.raises(IllegalTransition, match="run 1 cannot go from STARTING to QUEUED"):
        run.advance(RunPhase.QUEUED)
