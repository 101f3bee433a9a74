"""What users may do to experiments and trials, and what it does to processes."""

from __future__ import annotations

import itertools

import pytest

from determined.domain import facts
from determined.domain.facts import DeadlineKind, Verb
from determined.domain.ids import RunId, TrialId
from determined.domain.operations import Shutdown
from determined.domain.states import ExperimentState
from determined.engine import effects as fx
from determined.engine.experiment import PREEMPTION_GRACE_S
from determined.errors import FailedPrecondition
from tests.unit.engine.engine_driver import Driver, searching

VERBS = {
    "cancel": lambda d: d.command(Verb.CANCEL),
    "kill": lambda d: d.command(Verb.KILL),
    "shutdown": lambda d: d.post(Shutdown()),
    "fail": lambda d: d.post(Shutdown(failure=True)),
    "method fails": lambda d: d.tell(facts.MethodFailed(at=9.0, message="it raised")),
    "pause": lambda d: d.command(Verb.PAUSE),
    "activate": lambda d: d.command(Verb.ACTIVATE),
}


def _in_state(state: str) -> Driver:
    """An experiment with one running trial, in a state."""
    driver = searching()
    steps: dict[str, tuple[str, ...]] = {
        "ACTIVE": (),
        "PAUSED": ("pause",),
        "STOPPING_COMPLETED": ("shutdown",),
        "STOPPING_CANCELED": ("cancel",),
        "STOPPING_KILLED": ("kill",),
        "STOPPING_ERROR": ("fail",),
    }
    for step in steps[state]:
        VERBS[step](driver)
    assert driver.engine.state.value == state
    return driver


@pytest.mark.parametrize(
    ("state", "verb", "then"),
    [
        ("ACTIVE", "pause", "PAUSED"),
        ("ACTIVE", "activate", "ACTIVE"),
        ("ACTIVE", "cancel", "STOPPING_CANCELED"),
        ("ACTIVE", "kill", "STOPPING_KILLED"),
        ("ACTIVE", "shutdown", "STOPPING_COMPLETED"),
        ("ACTIVE", "fail", "STOPPING_ERROR"),
        ("ACTIVE", "method fails", "STOPPING_ERROR"),
        ("PAUSED", "pause", "PAUSED"),
        ("PAUSED", "activate", "ACTIVE"),
        ("PAUSED", "cancel", "STOPPING_CANCELED"),
        ("PAUSED", "kill", "STOPPING_KILLED"),
        ("PAUSED", "shutdown", "STOPPING_COMPLETED"),
        ("PAUSED", "fail", "STOPPING_ERROR"),
        ("PAUSED", "method fails", "STOPPING_ERROR"),
        *[(s, v, s) for s in ("STOPPING_CANCELED", "STOPPING_KILLED") for v in ("cancel", "shutdown", "fail")],
        *[(s, "method fails", s) for s in ("STOPPING_COMPLETED", "STOPPING_CANCELED", "STOPPING_KILLED")],
        ("STOPPING_COMPLETED", "cancel", "STOPPING_COMPLETED"),
        ("STOPPING_COMPLETED", "kill", "STOPPING_KILLED"),
        ("STOPPING_CANCELED", "kill", "STOPPING_KILLED"),
        ("STOPPING_KILLED", "kill", "STOPPING_KILLED"),
        ("STOPPING_ERROR", "kill", "STOPPING_ERROR"),
        ("STOPPING_ERROR", "cancel", "STOPPING_ERROR"),
    ],
)
def test_where_a_wish_takes_an_experiment(state: str, verb: str, then: str) -> None:
    driver = _in_state(state)
    VERBS[verb](driver)
    assert driver.engine.state.value == then


@pytest.mark.parametrize("verb", ["pause", "activate"])
@pytest.mark.parametrize("state", ["STOPPING_COMPLETED", "STOPPING_CANCELED", "STOPPING_KILLED", "STOPPING_ERROR"])
def test_a_stopping_experiment_is_neither_paused_nor_activated(state: str, verb: str) -> None:
    driver = _in_state(state)
    with pytest.raises(FailedPrecondition, match=rf"experiment 1 is {state} and cannot be (paused|activated)"):
        VERBS[verb](driver)


@pytest.mark.parametrize(
    ("verb", "end"),
    [
        ("shutdown", "COMPLETED"),
        ("cancel", "CANCELED"),
        ("kill", "CANCELED"),
        ("fail", "ERROR"),
        ("method fails", "ERROR"),
    ],
)
@pytest.mark.parametrize("active", [True, False])
def test_without_live_trials_a_stop_is_immediate(verb: str, end: str, active: bool) -> None:
    driver = Driver(active=active)
    VERBS[verb](driver)
    assert driver.engine.state.value == end
    assert driver.engine.ended_at is not None


@pytest.mark.parametrize("end", ["COMPLETED", "CANCELED", "ERROR"])
def test_an_experiment_that_is_over_stays_so(end: str) -> None:
    driver = Driver()
    VERBS[{"COMPLETED": "shutdown", "CANCELED": "kill", "ERROR": "fail"}[end]](driver)
    for verb in ("cancel", "kill", "method fails", "shutdown"):
        assert VERBS[verb](driver) == []
    for verb in ("pause", "activate"):
        with pytest.raises(FailedPrecondition, match=end):
            VERBS[verb](driver)


def test_the_failure_of_a_method_is_kept() -> None:
    driver = Driver()
    VERBS["method fails"](driver)
    assert driver.engine.message == "it raised"


def _crowd() -> Driver:
    """A trial of each kind: running, starting, queued, idle, without work, on its way out."""
    driver = Driver()
    driver.begin("r")
    driver.create("s")
    driver.grant("s")
    driver.create("q")
    driver.begin("i")
    driver.complete("i")
    driver.finish("i")
    driver.create("n", None)
    driver.begin("o", close=True)
    driver.complete("o")
    driver.new_events()
    return driver


def _states(driver: Driver) -> str:
    return " ".join(f"{name}:{driver.state(name)}" for name in "rsqino")


def test_pause_preempts_kills_what_has_not_started_and_gives_places_up() -> None:
    driver = _crowd()
    driver.command(Verb.PAUSE)
    assert _states(driver) == "r:PAUSED s:PAUSED q:PAUSED i:PAUSED n:PAUSED o:STOPPING_COMPLETED"
    assert driver.said(fx.RunPreempt) == [fx.RunPreempt(driver.id_of("r"), RunId(1))]
    deadline = fx.DeadlineSet(driver.id_of("r"), RunId(1), DeadlineKind.PREEMPTION, PREEMPTION_GRACE_S)
    assert driver.said(fx.DeadlineSet) == [deadline]
    assert driver.said(fx.RunKill) == [fx.RunKill(driver.id_of("s"), RunId(1))]
    assert driver.said(fx.SlotsWithdrawn) == [fx.SlotsWithdrawn(driver.id_of("q"), RunId(1))]
    assert driver.new_events() == []


def test_activation_asks_for_what_has_work_and_no_process() -> None:
    driver = _crowd()
    driver.command(Verb.PAUSE)
    driver.finish("r")
    driver.exit("s", 137)
    driver.command(Verb.ACTIVATE)
    assert _states(driver) == "r:ACTIVE s:ACTIVE q:ACTIVE i:ACTIVE n:ACTIVE o:STOPPING_COMPLETED"
    wanted = [(e.trial_id, e.run_id) for e in driver.said(fx.SlotsWanted)]
    assert wanted == [(driver.id_of("r"), 2), (driver.id_of("s"), 2), (driver.id_of("q"), 1)]
    assert [t.restarts for t in driver.engine.trials.values()] == [0] * 6


def test_activation_before_the_preempted_run_has_exited_waits_for_its_exit() -> None:
    driver = searching()
    driver.command(Verb.PAUSE)
    driver.command(Verb.ACTIVATE)
    assert not driver.said(fx.SlotsWanted)
    driver.finish("a")
    assert driver.said(fx.SlotsWanted) == [fx.SlotsWanted(driver.id_of("a"), RunId(2), 1)]


def test_a_raised_signal_stays_raised_and_is_raised_once() -> None:
    driver = searching()
    driver.command(Verb.PAUSE)
    driver.command(Verb.ACTIVATE)
    driver.command(Verb.PAUSE)
    assert not driver.said(fx.RunPreempt)
    assert not driver.said(fx.DeadlineSet)
    assert driver.preempt("a") == []


def test_a_preempted_run_that_does_not_exit_in_time_is_killed() -> None:
    driver = searching()
    driver.command(Verb.PAUSE)
    driver.deadline("a", DeadlineKind.PREEMPTION)
    assert [type(e) for e in driver.last] == [fx.LogWritten, fx.RunKill]
    driver.exit("a", 137)
    assert driver.state("a") == "PAUSED"
    assert driver.trial("a").restarts == 0


def test_the_platform_may_preempt_a_run() -> None:
    driver = searching()
    driver.preempt("a")
    assert driver.said(fx.RunPreempt) == [fx.RunPreempt(driver.id_of("a"), RunId(1))]
    driver.finish("a")
    assert driver.said(fx.SlotsWanted) == [fx.SlotsWanted(driver.id_of("a"), RunId(2), 1)]


def test_who_is_to_make_room_for_a_more_important_run_is_asked_and_never_killed() -> None:
    driver = searching()
    driver.preempt("a", for_priority=True)
    assert driver.said(fx.RunPreempt) == [fx.RunPreempt(driver.id_of("a"), RunId(1))]
    assert not driver.said(fx.DeadlineSet)
    assert driver.preempt("a", for_priority=True) == []
    # A deadline from before, if there was one, is not meant for it.
    assert driver.deadline("a", DeadlineKind.PREEMPTION) == []
    assert [type(e) for e in driver.engine.resume(1.0)] == [fx.RunFound, fx.RunPreempt]


def test_who_was_to_make_room_and_is_paused_then_has_to_hurry() -> None:
    driver = searching()
    driver.preempt("a", for_priority=True)
    driver.command(Verb.PAUSE)
    assert driver.said(fx.DeadlineSet)
    assert driver.preempt("a", for_priority=True) == []
    driver.deadline("a", DeadlineKind.PREEMPTION)
    assert driver.said(fx.RunKill)


def test_preemption_before_the_start_line_kills() -> None:
    driver = Driver()
    driver.create("a")
    driver.grant("a")
    driver.preempt("a")
    assert driver.said(fx.RunKill) == [fx.RunKill(driver.id_of("a"), RunId(1))]
    driver.exit("a", 137)
    assert driver.trial("a").restarts == 0


def test_cancel_preempts_what_runs_and_ends_the_rest() -> None:
    driver = _crowd()
    driver.command(Verb.CANCEL)
    assert _states(driver) == (
        "r:STOPPING_CANCELED s:STOPPING_CANCELED q:CANCELED i:CANCELED n:CANCELED o:STOPPING_CANCELED"
    )
    assert [e.trial_id for e in driver.said(fx.RunPreempt)] == [driver.id_of("r"), driver.id_of("o")]
    assert [e.trial_id for e in driver.said(fx.RunKill)] == [driver.id_of("s")]
    ended = itertools.chain(*[[f"exited {n} KILLED", f"closed {n}"] for n in "qin"])
    assert driver.new_events() == list(ended)
    for name in "ro":
        driver.acknowledge(name)
        driver.exit(name, 1)
    driver.exit("s", 137)
    assert driver.engine.state is ExperimentState.CANCELED


@pytest.mark.parametrize("verb", ["kill", "fail"])
def test_kill_and_failure_kill_everything(verb: str) -> None:
    driver = _crowd()
    VERBS[verb](driver)
    assert [e.trial_id for e in driver.said(fx.RunKill)] == [driver.id_of(n) for n in "rso"]
    for name in "rso":
        driver.exit(name, 137)
    end = "CANCELED" if verb == "kill" else "ERROR"
    assert driver.engine.state.value == end
    assert {driver.state(n) for n in "rsqino"} == {end}
    cause = "KILLED" if verb == "kill" else "ERRORED"
    assert sorted(driver.new_events()) == sorted(
        [f"exited {n} {cause}" for n in "rsqino"] + [f"closed {n}" for n in "rsqino"]
    )


@pytest.mark.parametrize("state", ["STOPPING_COMPLETED", "STOPPING_CANCELED", "STOPPING_KILLED", "STOPPING_ERROR"])
def test_kill_kills_in_every_stopping_state(state: str) -> None:
    driver = _in_state(state)
    driver.command(Verb.KILL)
    assert driver.said(fx.RunKill) == [fx.RunKill(driver.id_of("a"), RunId(1))]
    driver.exit("a", 137)
    assert driver.engine.state.value == ("ERROR" if state == "STOPPING_ERROR" else "CANCELED")


@pytest.mark.parametrize(
    "state", ["ACTIVE", "PAUSED", "STOPPING_COMPLETED", "STOPPING_CANCELED", "STOPPING_KILLED", "STOPPING_ERROR"]
)
def test_one_trial_can_be_killed_in_every_state_as_often_as_one_likes(state: str) -> None:
    driver = _in_state(state)
    for _ in range(3):
        driver.kill("a")
        assert driver.said(fx.RunKill) == [fx.RunKill(driver.id_of("a"), RunId(1))]
    driver.exit("a", 137)
    assert driver.state("a") == ("ERROR" if state == "STOPPING_ERROR" else "CANCELED")


@pytest.mark.parametrize("name", ["q", "i", "n"])
def test_a_trial_without_a_process_is_killed_at_once(name: str) -> None:
    driver = _crowd()
    driver.kill(name)
    assert driver.state(name) == "CANCELED"
    assert driver.new_events() == [f"exited {name} KILLED", f"closed {name}"]
    assert bool(driver.said(fx.SlotsWithdrawn)) == (name == "q")


def test_killing_a_trial_that_is_over_or_never_was_changes_nothing() -> None:
    driver = _crowd()
    driver.kill("i")
    assert driver.kill("i") == []
    assert driver.tell(facts.TrialKillRequested(at=1.0, trial_id=TrialId(99))) == []


def test_killing_the_last_trial_does_not_end_the_search() -> None:
    """The search method decides what a killed trial means."""
    driver = searching()
    driver.kill("a")
    driver.exit("a", 137)
    assert driver.engine.state is ExperimentState.ACTIVE


@pytest.mark.parametrize("state", ["ACTIVE", "PAUSED", "STOPPING_COMPLETED", "STOPPING_CANCELED"])
@pytest.mark.parametrize("code", [0, 1])
def test_one_trial_is_canceled_by_asking_it_to_leave_as_often_as_one_likes(state: str, code: int) -> None:
    driver = _in_state(state)
    before = len(driver.history)
    asked = [*driver.said(fx.RunPreempt)]
    for _ in range(3):
        driver.cancel("a")
        asked += driver.said(fx.RunPreempt)
        assert driver.said(fx.RunKill) == []
        assert driver.state("a") == "STOPPING_CANCELED"
    assert len(driver.history) == before + 3
    assert asked == [fx.RunPreempt(driver.id_of("a"), RunId(1))]
    # Whoever was asked and says so has left in good order, whatever its code.
    driver.acknowledge("a")
    driver.exit("a", code)
    assert driver.state("a") == "CANCELED"
    assert driver.new_events() == ["exited a KILLED", "closed a"]


@pytest.mark.parametrize("state", ["STOPPING_KILLED", "STOPPING_ERROR"])
def test_a_trial_that_is_killed_is_not_canceled(state: str) -> None:
    driver = _in_state(state)
    assert not [e for e in driver.cancel("a") if not isinstance(e, fx.RunKill)]
    assert driver.state("a") == state
    driver.exit("a", 137)
    assert driver.state("a") == ("ERROR" if state == "STOPPING_ERROR" else "CANCELED")


def test_a_canceled_trial_has_an_hour_can_be_killed_and_gets_no_more_work() -> None:
    driver = searching("ab")
    driver.cancel("a")
    deadline = fx.DeadlineSet(driver.id_of("a"), RunId(1), DeadlineKind.PREEMPTION, PREEMPTION_GRACE_S)
    assert driver.said(fx.DeadlineSet) == [deadline]
    driver.checkpoint("a", "last", 40)
    driver.complete("a")
    driver.work("a", 200)
    assert driver.trial("a").complete
    driver.command(Verb.PAUSE)
    assert driver.state("a") == "STOPPING_CANCELED"
    driver.kill("a")
    assert driver.said(fx.RunKill) == [fx.RunKill(driver.id_of("a"), RunId(1))]
    driver.exit("a", 137)
    assert driver.new_events() == ["validated a 100 0.5", "exited a KILLED", "closed a"]
    assert driver.engine.state is ExperimentState.PAUSED
    assert driver.state("b") == "PAUSED"


def test_a_trial_that_fails_instead_of_leaving_is_in_error() -> None:
    driver = searching()
    driver.cancel("a")
    driver.exit("a", 1)
    assert driver.state("a") == "ERROR"
    assert driver.new_events() == ["exited a ERRORED", "closed a"]


def test_a_trial_that_is_starting_is_killed_when_it_is_canceled() -> None:
    driver = _crowd()
    driver.cancel("s")
    assert driver.said(fx.RunKill) == [fx.RunKill(driver.id_of("s"), RunId(1))]
    driver.exit("s", 137)
    assert driver.state("s") == "CANCELED"


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("name", ["q", "i", "n"])
def test_a_trial_without_a_process_is_canceled_at_once_also_in_a_pause(name: str, paused: bool) -> None:
    driver = _crowd()
    if paused:
        driver.command(Verb.PAUSE)
    driver.cancel(name)
    assert driver.state(name) == "CANCELED"
    assert driver.new_events() == [f"exited {name} KILLED", f"closed {name}"]
    assert bool(driver.said(fx.SlotsWithdrawn)) == (name == "q" and not paused)
    assert driver.cancel(name) == []
    assert driver.tell(facts.TrialCancelRequested(at=1.0, trial_id=TrialId(99))) == []


def test_a_trial_on_its_way_out_is_not_paused() -> None:
    driver = searching()
    driver.complete("a")
    driver.close("a")
    driver.command(Verb.PAUSE)
    assert driver.state("a") == "STOPPING_COMPLETED"
    assert not driver.said(fx.RunPreempt)


def test_a_trial_that_was_closed_while_running_completes_although_the_experiment_is_paused() -> None:
    driver = searching()
    driver.command(Verb.PAUSE)
    driver.close("a")
    driver.complete("a")
    assert driver.state("a") == "STOPPING_COMPLETED"
    driver.finish("a")
    assert driver.state("a") == "COMPLETED"


def test_a_paused_trial_without_work_is_idle_after_its_exit_and_ends_when_closed() -> None:
    driver = searching()
    driver.complete("a")
    driver.command(Verb.PAUSE)
    driver.finish("a")
    assert driver.state("a") == "PAUSED"
    driver.close("a")
    assert driver.state("a") == "COMPLETED"


def test_a_queued_trial_whose_work_is_closed_keeps_its_place() -> None:
    driver = Driver()
    driver.create("a")
    driver.close("a")
    assert driver.state("a") == "ACTIVE"
    assert not driver.said(fx.SlotsWithdrawn)


def test_a_withdrawn_run_gives_its_number_to_the_next() -> None:
    driver = Driver()
    driver.create("a")
    driver.command(Verb.PAUSE)
    driver.command(Verb.ACTIVATE)
    assert driver.said(fx.SlotsWanted) == [fx.SlotsWanted(driver.id_of("a"), RunId(1), 1)]
    driver.start("a")
    assert driver.rows[driver.id_of("a")].run_id == 1


def test_rows_show_the_trial_as_it_is() -> None:
    driver = Driver()
    driver.begin("a", close=True)
    driver.exit("a", 1)
    row = driver.rows[driver.id_of("a")]
    assert (row.state.value, row.run_id, row.restarts, row.closed) == ("ACTIVE", 1, 1, True)
    assert row.phase is not None
    assert row.phase.value == "QUEUED"
