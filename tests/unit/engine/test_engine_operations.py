"""What search methods may post, and what comes of it (one row of the protocol's tables each)."""

from __future__ import annotations

from typing import Any

import pytest

from determined.domain import facts
from determined.domain.facts import Verb
from determined.domain.ids import RunId, TrialId
from determined.domain.operations import Close, Create, Progress, Shutdown, ValidateAfter
from determined.domain.states import ExperimentState, TrialState
from determined.engine import effects as fx
from determined.engine.experiment import AlreadyAnswered
from determined.errors import FailedPrecondition, InvalidOperations
from tests.unit.engine.engine_driver import Driver, rid, searching


def test_the_first_event_of_every_search_is_initial_operations() -> None:
    driver = Driver()
    assert driver.events == ["initial"]
    assert driver.engine.state is ExperimentState.ACTIVE


def test_a_search_that_is_created_paused_has_its_first_event_too() -> None:
    driver = Driver(active=False)
    assert driver.events == ["initial"]
    assert driver.engine.state is ExperimentState.PAUSED


def test_an_experiment_is_created_once() -> None:
    driver = Driver()
    with pytest.raises(FailedPrecondition, match="once"):
        driver.tell(facts.ExperimentCreated(at=1.0, active=False))
    assert driver.engine.state is ExperimentState.ACTIVE
    assert driver.engine.last_event == 1


def test_one_trial_with_five_reports_of_progress_makes_eight_events() -> None:
    """Suites in the field count them."""
    driver = Driver()
    driver.begin("a", 500, close=True)
    for units in (100, 200, 300, 400, 500):
        driver.progress("a", units)
    driver.complete("a", 500, 0.25)
    driver.finish("a")
    assert driver.events[1:] == [
        "created a",
        "progress a 100",
        "progress a 200",
        "progress a 300",
        "progress a 400",
        "progress a 500",
        "validated a 500 0.25",
        "closed a",
    ]


def test_five_such_trials_make_forty_one_events() -> None:
    driver = Driver()
    for name in "abcde":
        driver.begin(name, 500, close=True)
        for units in (100, 200, 300, 400, 500):
            driver.progress(name, units)
        driver.complete(name, 500)
        driver.finish(name)
    assert len(driver.events) == 41


def test_create_makes_a_row_in_the_experiments_state_and_no_process() -> None:
    driver = Driver()
    driver.post(Create(rid("a"), '{"lr": 1}'))
    assert driver.said(fx.TrialAdded) == [
        fx.TrialAdded(TrialId(1), rid("a"), '{"lr": 1}', None, TrialState.ACTIVE),
    ]
    assert not driver.said(fx.SlotsWanted)
    trial = driver.trial("a")
    assert (trial.complete, trial.closed, trial.length) == (True, False, None)


def test_trial_ids_count_up_from_the_first_that_is_given() -> None:
    driver = Driver()
    driver.next_trial = 7
    driver.post(Create(rid("a"), {}), Progress(0.5), Create(rid("b"), {}), Create(rid("c"), {}))
    assert [e.trial_id for e in driver.said(fx.TrialAdded)] == [7, 8, 9]


def test_new_rows_come_before_everything_that_refers_to_them() -> None:
    driver = Driver()
    driver.post(
        Create(rid("a"), {}), ValidateAfter(rid("a"), 1), Create(rid("b"), {}), ValidateAfter(rid("b"), 1), trigger=1
    )
    kinds = [type(e) for e in driver.last]
    assert kinds == [
        *[fx.TrialAdded] * 2,
        *[fx.TrialChanged] * 2,
        *[fx.OperationChanged] * 2,
        fx.EventsAcknowledged,
        *[fx.SlotsWanted] * 2,
    ]


@pytest.mark.parametrize("where", ["the same batch", "an earlier batch", "a trial that is over"])
def test_a_second_create_of_one_id_refuses_the_whole_batch(where: str) -> None:
    driver = Driver()
    operations: list[Any] = [ValidateAfter(rid("x"), 1), Create(rid("a"), {}), Create(rid("b"), {})]
    if where == "the same batch":
        operations.append(Create(rid("a"), {"other": 1}))
    else:
        driver.create("a", None)
        if where == "a trial that is over":
            driver.close("a")
    with pytest.raises(InvalidOperations, match=str(rid("a"))):
        driver.post(*operations, trigger=1)
    assert rid("b") not in driver.engine.index
    assert driver.engine.answered == 0


def test_create_validate_close_in_one_batch_runs_and_then_ends() -> None:
    driver = Driver()
    driver.begin("a", 10, close=True)
    driver.complete("a", 10)
    assert driver.state("a") == "STOPPING_COMPLETED"
    driver.finish("a")
    assert driver.state("a") == "COMPLETED"
    assert driver.events[1:] == ["created a", "validated a 10 0.5", "closed a"]


def test_validate_after_close_in_the_same_batch_still_runs() -> None:
    driver = searching()
    driver.complete("a")
    driver.post(Close(rid("a")), ValidateAfter(rid("a"), 200))
    assert driver.state("a") == "ACTIVE"
    driver.complete("a", 200)
    assert driver.state("a") == "STOPPING_COMPLETED"


def test_the_last_of_several_lengths_in_a_batch_wins() -> None:
    driver = Driver()
    driver.create("a", None)
    driver.post(ValidateAfter(rid("a"), 5), ValidateAfter(rid("a"), 50), ValidateAfter(rid("a"), 7))
    assert driver.trial("a").length == 7
    assert len(driver.said(fx.SlotsWanted)) == 1
    assert len(driver.said(fx.OperationChanged)) == 1


def test_a_touched_trial_is_told_once_however_much_happens_to_it() -> None:
    driver = Driver()
    driver.post(Create(rid("a"), {}), ValidateAfter(rid("a"), 5), Close(rid("a")), Shutdown())
    assert len(driver.said(fx.OperationChanged)) == 1
    assert len(driver.said(fx.TrialChanged)) == 1
    assert len(driver.said(fx.ExperimentChanged)) == 1


def test_operations_for_unknown_trials_are_ignored_and_the_event_is_acknowledged() -> None:
    driver = Driver()
    driver.post(ValidateAfter(rid("x"), 5), Close(rid("y")), trigger=1)
    assert driver.last == [fx.EventsAcknowledged(1)]


def test_operations_for_trials_that_are_over_are_ignored() -> None:
    driver = Driver()
    driver.create("a", None)
    driver.close("a")
    driver.post(ValidateAfter(rid("a"), 5), Close(rid("a")), trigger=1)
    assert driver.last == [fx.EventsAcknowledged(1)]


def test_a_trial_on_its_way_out_takes_no_more_work() -> None:
    """Its process may have asked for work a moment ago, or may ask in a moment: whether it would do the work is chance.

    So the order of Close and ValidateAfter decides, not the process.
    """
    driver = searching()
    driver.complete("a")
    driver.close("a")
    driver.work("a", 200)
    assert (driver.trial("a").complete, driver.trial("a").length) == (True, 100)
    driver.finish("a")
    assert driver.new_events() == ["validated a 100 0.5", "closed a"]


def test_close_of_a_trial_that_never_ran_ends_it_without_trial_created() -> None:
    driver = Driver()
    driver.create("a", None)
    driver.close("a")
    assert driver.state("a") == "COMPLETED"
    assert driver.events[1:] == ["closed a"]


def test_close_of_a_busy_trial_lets_it_finish() -> None:
    driver = searching()
    driver.close("a")
    assert driver.state("a") == "ACTIVE"
    assert not driver.said(fx.RunKill)
    assert not driver.said(fx.RunPreempt)
    driver.complete("a")
    driver.finish("a")
    assert driver.new_events() == ["validated a 100 0.5", "closed a"]


def test_close_of_an_idle_trial_with_a_live_process_waits_for_its_exit() -> None:
    driver = searching()
    driver.complete("a")
    driver.close("a")
    assert driver.state("a") == "STOPPING_COMPLETED"
    assert {type(e) for e in driver.last} == {fx.TrialChanged, fx.OperationChanged}
    driver.metrics("a", 100)
    driver.checkpoint("a", "c", 100)
    driver.progress("a", 100)
    driver.exit("a", 0)
    assert driver.state("a") == "COMPLETED"
    assert driver.new_events() == ["validated a 100 0.5", "progress a 100", "closed a"]


def test_the_same_length_again_is_an_ordinary_operation() -> None:
    driver = searching()
    driver.complete("a", 100, 0.5)
    driver.work("a", 100)
    driver.complete("a", 100, 0.25)
    assert driver.new_events() == ["validated a 100 0.5", "validated a 100 0.25"]


def test_a_smaller_length_is_passed_on() -> None:
    driver = searching()
    driver.complete("a")
    driver.work("a", 10)
    driver.complete("a", 10)
    assert driver.new_events() == ["validated a 100 0.5", "validated a 10 0.5"]


@pytest.mark.parametrize(("given", "stored"), [(-3.0, 0.0), (0.0, 0.0), (0.25, 0.25), (1, 1.0), (7.5, 1.0)])
def test_progress_is_clamped_and_visible_at_once(given: float, stored: float) -> None:
    driver = Driver()
    driver.post(Progress(given))
    assert driver.engine.progress == stored
    assert driver.last == [fx.ExperimentChanged()]
    driver.post(Progress(given))
    assert driver.last == []


@pytest.mark.parametrize(
    ("shutdown", "stopping", "final"),
    [
        (Shutdown(), "STOPPING_COMPLETED", "COMPLETED"),
        (Shutdown(cancel=True), "STOPPING_CANCELED", "ERROR"),
        (Shutdown(failure=True), "STOPPING_ERROR", "ERROR"),
        (Shutdown(cancel=True, failure=True), "STOPPING_ERROR", "ERROR"),
    ],
)
def test_shutdown_goes_where_its_flags_say(shutdown: Shutdown, stopping: str, final: str) -> None:
    driver = searching()
    driver.post(shutdown)
    assert driver.engine.state.value == stopping
    assert driver.state("a") == stopping
    driver.exit("a", 0 if final == "COMPLETED" else 1)
    expected = {"STOPPING_COMPLETED": "COMPLETED", "STOPPING_CANCELED": "CANCELED", "STOPPING_ERROR": "ERROR"}
    assert driver.engine.state.value == expected[stopping]
    assert driver.said(fx.ExperimentEnded) == [fx.ExperimentEnded(driver.engine.state)]
    assert driver.state("a") == final


def test_shutdown_without_live_trials_ends_the_search_at_once() -> None:
    driver = Driver()
    driver.post(Progress(0.5), Shutdown())
    assert driver.engine.state.value == "COMPLETED"
    assert driver.engine.progress == 1.0
    assert driver.engine.ended_at == driver.at
    assert driver.last[-1] == fx.ExperimentEnded(ExperimentState.COMPLETED)


def test_progress_after_shutdown_is_harmless() -> None:
    """The client appends its progress to every batch."""
    driver = searching()
    driver.post(Shutdown(), Progress(0.75))
    assert driver.engine.progress == 0.75
    assert driver.engine.state is ExperimentState.STOPPING_COMPLETED


def test_other_operations_after_shutdown_are_ignored() -> None:
    driver = Driver()
    driver.post(Shutdown(), Create(rid("a"), {}), ValidateAfter(rid("a"), 1), Close(rid("a")), Shutdown(failure=True))
    assert driver.engine.state.value == "COMPLETED"
    assert rid("a") not in driver.engine.index


def test_operations_before_shutdown_count() -> None:
    driver = searching()
    driver.complete("a")
    driver.post(ValidateAfter(rid("a"), 200), Shutdown())
    assert driver.trial("a").length == 200
    driver.complete("a", 200)
    driver.finish("a")
    assert driver.engine.state.value == "COMPLETED"


def test_a_failure_says_why() -> None:
    driver = Driver()
    driver.post(Shutdown(failure=True, reason="no trial got anywhere"))
    assert driver.engine.message == "no trial got anywhere"
    driver = Driver()
    driver.post(Shutdown(failure=True))
    assert "failed" in driver.engine.message


def test_shutdown_with_live_idle_and_queued_trials() -> None:
    """The live one finishes by itself; those without a process end at once, in good order."""
    driver = searching("ab")
    driver.complete("b")
    driver.finish("b")
    driver.create("c")
    driver.create("d", None)
    driver.new_events()
    driver.post(Shutdown())
    assert [driver.state(n) for n in "abcd"] == ["STOPPING_COMPLETED", "COMPLETED", "COMPLETED", "COMPLETED"]
    assert driver.said(fx.SlotsWithdrawn) == [fx.SlotsWithdrawn(driver.id_of("c"), RunId(1))]
    assert driver.new_events() == ["closed b", "closed c", "closed d"]
    assert driver.engine.state is ExperimentState.STOPPING_COMPLETED
    driver.complete("a")
    driver.finish("a")
    assert driver.engine.state.value == "COMPLETED"


@pytest.mark.parametrize("trigger", [0, -1, 3, 2**40])
def test_a_trigger_that_is_no_event_refuses_the_batch(trigger: int) -> None:
    driver = Driver()
    driver.begin("a")
    with pytest.raises(InvalidOperations, match=rf"{trigger}.*1 to 2"):
        driver.post(Create(rid("b"), {}), trigger=trigger)
    assert rid("b") not in driver.engine.index
    driver.post(trigger=2)
    with pytest.raises(InvalidOperations, match="all are answered"):
        driver.post(trigger=3)


def test_a_trigger_that_was_answered_is_told_apart() -> None:
    driver = Driver()
    driver.begin("a")
    driver.post(trigger=2)
    for trigger in (1, 2):
        with pytest.raises(AlreadyAnswered) as refusal:
            driver.post(Create(rid("b"), {}), trigger=trigger)
        assert refusal.value.trigger == trigger
    assert rid("b") not in driver.engine.index


def test_answering_an_event_answers_all_before_it() -> None:
    driver = Driver()
    driver.begin("a")
    driver.progress("a", 1)
    driver.post(trigger=3)
    assert driver.last == [fx.EventsAcknowledged(3)]
    assert driver.engine.answered == 3


def test_operations_without_a_trigger_acknowledge_nothing() -> None:
    driver = Driver()
    driver.post(Progress(0.5))
    assert driver.engine.answered == 0


def test_a_stopping_search_acknowledges_events_and_ignores_operations() -> None:
    driver = searching()
    driver.post(Shutdown())
    driver.post(Create(rid("b"), {}), Progress(0.5), Shutdown(failure=True), trigger=2)
    assert driver.last == [fx.EventsAcknowledged(2)]
    assert driver.engine.state is ExperimentState.STOPPING_COMPLETED
    with pytest.raises(InvalidOperations):
        driver.post(trigger=99)


@pytest.mark.parametrize("trigger", [None, 0, 1, 99])
def test_a_search_that_is_over_takes_anything_and_does_nothing(trigger: int | None) -> None:
    """A runner may still hold events that it fetched before its own Shutdown."""
    driver = Driver()
    driver.post(Shutdown())
    driver.post(Create(rid("a"), {}), Progress(0.25), Shutdown(failure=True), trigger=trigger)
    assert driver.last == []
    assert driver.engine.progress == 1.0


def test_a_paused_search_takes_operations_and_runs_nothing() -> None:
    driver = Driver(active=False)
    driver.create("a", 100)
    assert driver.state("a") == "PAUSED"
    assert not driver.said(fx.SlotsWanted)
    driver.command(Verb.ACTIVATE)
    assert driver.state("a") == "ACTIVE"
    assert driver.said(fx.SlotsWanted) == [fx.SlotsWanted(driver.id_of("a"), RunId(1), 1)]


def test_close_in_a_paused_search_ends_trials_without_work() -> None:
    driver = Driver(active=False)
    driver.create("a", None)
    driver.close("a")
    assert driver.state("a") == "COMPLETED"


def test_a_trial_starts_from_the_checkpoint_that_its_create_names() -> None:
    driver = Driver(warm_start="experiments")
    driver.post(Create(rid("a"), {}, "own"), ValidateAfter(rid("a"), 1))
    driver.create("b")
    assert driver.grant("a")[-1] == fx.RunStart(driver.id_of("a"), RunId(1), (0,), "own", 0)
    assert driver.grant("b")[-1] == fx.RunStart(driver.id_of("b"), RunId(1), (0,), "experiments", 0)


def test_a_wide_trial_asks_for_all_its_slots() -> None:
    driver = Driver(slots=4)
    driver.create("a")
    assert driver.said(fx.SlotsWanted) == [fx.SlotsWanted(driver.id_of("a"), RunId(1), 4)]


def test_events_go_on_being_numbered_while_stopping() -> None:
    driver = searching()
    driver.post(Shutdown())
    driver.progress("a", 50)
    driver.complete("a")
    driver.finish("a")
    assert driver.new_events() == ["progress a 50", "validated a 100 0.5", "closed a"]
