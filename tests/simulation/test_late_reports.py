"""A report of progress that a network delivers twice, the second time late: found by the simulation, seed by seed."""

from __future__ import annotations

from determined.engine import snapshot
from determined.engine.trial import MAX_REPORTS
from tests.unit.engine.engine_driver import Driver


def test_a_report_that_comes_again_after_its_successors_counts_once() -> None:
    driver = searching()
    for report in ("one", "two", "three", "two", "one"):
        driver.progress("a", 10, report=report)
    assert driver.new_events() == ["progress a 10"] * 3


def test_so_it_is_after_a_restart() -> None:
    driver = searching()
    driver.progress("a", 10, report="one")
    driver.progress("a", 20, report="two")
    driver.engine = snapshot.restore(driver.engine.settings, snapshot.take(driver.engine))
    driver.progress("a", 10, report="one")
    assert driver.last == []


def test_what_is_remembered_is_bounded() -> None:
    driver = searching()
    for number in range(3 * MAX_REPORTS):
        driver.progress("a", number, report=f"report {number}")
    run = driver.engine.trials[driver.id_of("a")].run
    assert run is not None
    assert run.reports == tuple(f"report {number}" for number in range(2 * MAX_REPORTS, 3 * MAX_REPORTS))


def searching() -> Driver:
    driver = Driver()
    driver.create("a", 100)
    driver.start("a")
    driver.new_events()
    return driver
