"""What the end of a run means: every row of the protocol's table, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from determined.domain.events import ExitCause, ExitedReason
from determined.domain.facts import DeadlineKind, Verb
from determined.domain.ids import RunId
from determined.domain.operations import Shutdown
from determined.domain.states import RunPhase
from determined.engine import effects as fx
from determined.engine.experiment import EARLY_EXIT_GRACE_S
from determined.engine.trial import MAX_LOST_RUNS
from determined.errors import StaleRun
from tests.unit.engine.engine_driver import Driver, searching

Prepare = Callable[[Driver], object]


def _nothing(driver: Driver) -> None:
    pass


def _complete(driver: Driver) -> None:
    driver.complete("a")


def _complete_and_close(driver: Driver) -> None:
    driver.complete("a")
    driver.close("a")


def _acknowledge(driver: Driver) -> None:
    driver.acknowledge("a")


def _idle(driver: Driver) -> None:
    driver.complete("a")
    driver.acknowledge("a")


def _invalid(driver: Driver) -> None:
    driver.invalid_hp("a")


def _invalid_and_acknowledged(driver: Driver) -> None:
    driver.invalid_hp("a")
    driver.acknowledge("a")


def _invalid_and_killed(driver: Driver) -> None:
    driver.invalid_hp("a")
    driver.deadline("a", DeadlineKind.EARLY_EXIT)


def _invalid_of_a_closed_trial(driver: Driver) -> None:
    driver.close("a")
    driver.invalid_hp("a")


def _kill(driver: Driver) -> None:
    driver.kill("a")


def _cancel(driver: Driver) -> None:
    driver.command(Verb.CANCEL)


def _cancel_acknowledged(driver: Driver) -> None:
    driver.command(Verb.CANCEL)
    driver.acknowledge("a")


def _shutdown(driver: Driver) -> None:
    driver.post(Shutdown())


def _fail_the_search(driver: Driver) -> None:
    driver.post(Shutdown(failure=True))


def _pause(driver: Driver) -> None:
    driver.command(Verb.PAUSE)


def _pause_acknowledged(driver: Driver) -> None:
    driver.command(Verb.PAUSE)
    driver.acknowledge("a")


def _pause_invalid(driver: Driver) -> None:
    driver.command(Verb.PAUSE)
    driver.invalid_hp("a")


VALIDATED = "validated a 100 0.5"


@pytest.mark.parametrize(
    ("prepare", "code", "state", "events", "restarts"),
    [
        # A stopping trial reaches the end of its stop, unless it failed on its own account.
        (_complete_and_close, 0, "COMPLETED", [VALIDATED, "closed a"], 0),
        (_complete_and_close, 1, "ERROR", [VALIDATED, "exited a ERRORED", "closed a"], 0),
        (_complete_and_close, None, "COMPLETED", [VALIDATED, "closed a"], 0),
        (_shutdown, 0, "COMPLETED", ["closed a"], 0),
        (_shutdown, 9, "ERROR", ["exited a ERRORED", "closed a"], 0),
        (_cancel, 0, "CANCELED", ["exited a KILLED", "closed a"], 0),
        (_cancel, 1, "ERROR", ["exited a ERRORED", "closed a"], 0),
        (_cancel_acknowledged, 1, "CANCELED", ["exited a KILLED", "closed a"], 0),
        (_kill, 137, "CANCELED", ["exited a KILLED", "closed a"], 0),
        (_kill, 0, "CANCELED", ["exited a KILLED", "closed a"], 0),
        (_kill, None, "CANCELED", ["exited a KILLED", "closed a"], 0),
        (_fail_the_search, 137, "ERROR", ["exited a ERRORED", "closed a"], 0),
        # Invalid hyperparameters come before what the exit code says.
        (_invalid, 0, "COMPLETED", ["exited a INVALID_HP", "closed a"], 0),
        (_invalid, 1, "COMPLETED", ["exited a INVALID_HP", "closed a"], 0),
        (_invalid, None, "COMPLETED", ["exited a INVALID_HP", "closed a"], 0),
        (_invalid_and_acknowledged, 0, "COMPLETED", ["exited a INVALID_HP", "closed a"], 0),
        (_invalid_and_killed, 137, "COMPLETED", ["exited a INVALID_HP", "closed a"], 0),
        (_invalid_of_a_closed_trial, 0, "COMPLETED", ["exited a INVALID_HP", "closed a"], 0),
        (_pause_invalid, 0, "COMPLETED", ["exited a INVALID_HP", "closed a"], 0),
        # A failure is counted; the trial goes on.
        (_nothing, 1, "ACTIVE", [], 1),
        (_nothing, -9, "ACTIVE", [], 1),
        (_complete, 1, "ACTIVE", [VALIDATED], 1),
        (_pause, 1, "PAUSED", [], 1),
        # It left of itself.
        (_nothing, 0, "COMPLETED", ["exited a STOPPED_ITSELF", "closed a"], 0),
        (_complete, 0, "COMPLETED", [VALIDATED, "exited a STOPPED_ITSELF", "closed a"], 0),
        (_pause, 0, "COMPLETED", ["exited a STOPPED_ITSELF", "closed a"], 0),
        # It said that it would exit, or was lost.
        (_idle, 0, "ACTIVE", [VALIDATED], 0),
        (_idle, 1, "ACTIVE", [VALIDATED], 0),
        (_acknowledge, 1, "ACTIVE", [], 0),
        (_acknowledge, None, "ACTIVE", [], 0),
        (_nothing, None, "ACTIVE", [], 0),
        (_pause_acknowledged, 0, "PAUSED", [], 0),
    ],
)
def test_what_an_exit_means(prepare: Prepare, code: int | None, state: str, events: list[str], restarts: int) -> None:
    driver = searching()
    prepare(driver)
    driver.exit("a", code)
    assert driver.state("a") == state
    assert driver.new_events() == events
    assert driver.rows[driver.id_of("a")].restarts == restarts
    assert driver.rows[driver.id_of("a")].phase in (None, RunPhase.QUEUED)
    assert len(driver.said(fx.RunEnded)) == 1


@pytest.mark.parametrize(
    ("prepare", "code", "again"),
    [
        (_nothing, 1, True),
        (_nothing, None, True),
        (_acknowledge, 0, True),
        (_complete, 1, False),
        (_idle, 0, False),
        (_pause, 1, False),
        (_pause_acknowledged, 0, False),
    ],
)
def test_a_trial_with_work_gets_another_run_and_one_without_idles(prepare: Prepare, code: int, again: bool) -> None:
    driver = searching()
    prepare(driver)
    driver.exit("a", code)
    wanted = [fx.SlotsWanted(driver.id_of("a"), RunId(2), 1)] if again else []
    assert driver.said(fx.SlotsWanted) == wanted


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_a_trial_that_fails_more_often_than_max_restarts_ends_in_error(limit: int) -> None:
    driver = searching(max_restarts=limit)
    for run in range(1, limit + 1):
        driver.exit("a", 1)
        assert f"restart {run} of {limit}" in driver.said(fx.LogWritten)[0].text
        driver.start("a")
    driver.exit("a", 1, "out of memory")
    assert driver.state("a") == "ERROR"
    assert driver.new_events() == ["exited a ERRORED", "closed a"]
    assert driver.rows[driver.id_of("a")].restarts == limit + 1
    text = driver.said(fx.LogWritten)[0].text
    assert "exit code 1 (out of memory)" in text
    assert f"max_restarts is {limit}" in text


def test_other_trials_go_on_when_one_fails() -> None:
    driver = searching("ab", max_restarts=0)
    driver.exit("a", 1)
    assert driver.state("b") == "ACTIVE"
    assert driver.engine.state.value == "ACTIVE"


def test_trial_created_is_told_at_the_first_start_only() -> None:
    driver = searching()
    driver.exit("a", 1)
    driver.start("a")
    assert driver.new_events() == []


def test_a_lost_run_is_not_counted_and_says_so_in_the_log() -> None:
    driver = searching(max_restarts=0)
    for run in range(1, 30):
        driver.exit("a", None, "the machine went down")
        log = driver.said(fx.LogWritten)[0]
        assert (log.run_id, log.level) == (run, "WARNING")
        assert "the machine went down" in log.text
        driver.start("a")
    assert driver.trial("a").restarts == 0


def test_the_tenth_run_in_a_row_that_cannot_start_counts_as_a_failure() -> None:
    driver = Driver(max_restarts=0)
    driver.create("a")
    for _ in range(MAX_LOST_RUNS - 1):
        driver.grant("a")
        driver.exit("a", None, "no space left on device")
        assert driver.state("a") == "ACTIVE"
    driver.grant("a")
    driver.exit("a", None, "no space left on device")
    assert driver.state("a") == "ERROR"
    assert driver.new_events()[-2:] == ["exited a ERRORED", "closed a"]
    assert "lost too often (no space left on device)" in driver.said(fx.LogWritten)[0].text


def test_each_further_loss_counts_until_a_run_passes_the_start_line() -> None:
    driver = Driver(max_restarts=3)
    driver.create("a")
    for _ in range(MAX_LOST_RUNS + 1):
        driver.grant("a")
        driver.exit("a", None)
    assert driver.trial("a").restarts == 2
    driver.start("a")
    driver.exit("a", None)
    driver.grant("a")
    driver.exit("a", None)
    assert driver.trial("a").restarts == 2


def test_a_run_that_is_lost_while_it_runs_starts_no_row_of_losses() -> None:
    driver = searching(max_restarts=0)
    driver.exit("a", None)
    for _ in range(MAX_LOST_RUNS - 1):
        driver.grant("a")
        driver.exit("a", None)
    assert driver.state("a") == "ACTIVE"
    driver.grant("a")
    driver.exit("a", None)
    assert driver.state("a") == "ERROR"


def test_an_exit_is_heard_once() -> None:
    driver = searching()
    driver.exit("a", 1)
    with pytest.raises(StaleRun):
        driver.exit("a", 1, run=1)
    driver.start("a")
    with pytest.raises(StaleRun):
        driver.exit("a", 1, run=1)
    assert driver.trial("a").restarts == 1


def test_a_reported_invalid_point_gets_ten_seconds_to_exit() -> None:
    driver = searching()
    driver.invalid_hp("a")
    expected = fx.DeadlineSet(driver.id_of("a"), RunId(1), DeadlineKind.EARLY_EXIT, EARLY_EXIT_GRACE_S)
    assert driver.last == [expected]
    driver.invalid_hp("a")
    assert driver.last == []
    driver.deadline("a", DeadlineKind.EARLY_EXIT)
    assert [type(e) for e in driver.last] == [fx.LogWritten, fx.RunKill]


@pytest.mark.parametrize("kind", list(DeadlineKind))
def test_a_deadline_that_nobody_asked_for_is_ignored(kind: DeadlineKind) -> None:
    """It may belong to an earlier run of the same number that was withdrawn, or to a run that is over."""
    driver = searching()
    assert driver.deadline("a", kind) == []
    driver.exit("a", 1)
    assert driver.deadline("a", kind, run=1) == []
    assert driver.deadline("a", kind, run=2) == []
    driver.grant("a")
    driver.kill("a")
    driver.exit("a", 137)
    assert driver.deadline("a", kind, run=2) == []


def test_the_search_is_told_a_reason_and_may_ask_for_the_cause() -> None:
    assert {cause: cause.reason for cause in ExitCause} == {
        ExitCause.ERRORED: ExitedReason.ERRORED,
        ExitCause.INVALID_HP: ExitedReason.INVALID_HP,
        ExitCause.KILLED: ExitedReason.USER_CANCELED,
        ExitCause.STOPPED_ITSELF: ExitedReason.USER_CANCELED,
    }
