"""An engine comes back as it was: from its parts, from the facts after them, and with what was left to do."""

from __future__ import annotations

import itertools
import math

import msgspec
import pytest

from determined.domain import facts
from determined.domain.facts import DeadlineKind, Verb
from determined.domain.ids import ExperimentId, RunId, TrialId
from determined.domain.operations import Progress, Shutdown
from determined.engine import effects as fx
from determined.engine import snapshot
from determined.engine.effects import Effect
from determined.engine.experiment import EARLY_EXIT_GRACE_S, PREEMPTION_GRACE_S, Experiment
from determined.errors import CorruptState, InvalidOperations
from tests.unit.engine.engine_driver import Driver, rid, searching


def reborn(driver: Driver) -> Experiment:
    return snapshot.restore(driver.engine.settings, snapshot.take(driver.engine))


def test_a_snapshot_holds_only_what_has_changed() -> None:
    driver = Driver()
    for number in range(20):
        driver.create(f"t{number}", None)
    assert len(snapshot.take(driver.engine)) == 21
    assert list(snapshot.take(driver.engine)) == ["experiment"]
    driver.create("a")
    driver.start("a")
    assert set(snapshot.take(driver.engine)) == {"experiment", str(driver.id_of("a"))}


@pytest.mark.parametrize("metric", [0.5, math.nan, -math.inf, "text", 10**40, -(10**40), {"a": [1, None]}])
def test_everything_that_matters_survives(metric: object) -> None:
    driver = searching("ab", max_restarts=2, warm_start="warm")
    driver.checkpoint("a", "saved", 50)
    driver.complete("a", 100, metric)
    driver.command(Verb.PAUSE)
    driver.kill("b")
    driver.exit("b", 137)
    driver.post(Progress(0.5), trigger=2)
    engine = reborn(driver)
    live = driver.engine
    for name in ("settings", "state", "progress", "message", "ended_at", "last_event", "answered", "trials", "index"):
        assert getattr(engine, name) == getattr(live, name), name
    assert engine.dirty == {}


def test_ids_of_trials_that_are_over_stay_taken() -> None:
    driver = Driver()
    driver.create("a", None)
    driver.close("a")
    driver.engine = reborn(driver)
    with pytest.raises(InvalidOperations):
        driver.create("a")


def test_a_repeated_completion_is_still_recognised() -> None:
    driver = searching()
    driver.complete("a", 100, math.nan)
    driver.engine = reborn(driver)
    assert driver.complete("a", 100, math.nan) == []


def test_without_a_snapshot_the_facts_alone_make_the_engine() -> None:
    driver = searching()
    engine = snapshot.restore(driver.engine.settings, {}, driver.history)
    assert engine.trials == driver.engine.trials
    assert engine.last_event == driver.engine.last_event


def test_parts_of_others_are_left_alone() -> None:
    """The master keeps the state of a hosted method beside the parts of the engine."""
    driver = searching()
    parts = {**snapshot.take(driver.engine), "method": b"\xc1 not for the engine"}
    assert snapshot.restore(driver.engine.settings, parts).trials == driver.engine.trials


@pytest.mark.parametrize("part", ["experiment", "1"])
@pytest.mark.parametrize("damage", [b"", b"\xc1", b"\x80", b"\x81\xa1a\x01"])
def test_a_damaged_part_is_reported_as_such(part: str, damage: bytes) -> None:
    driver = searching()
    parts = {**snapshot.take(driver.engine), part: damage}
    with pytest.raises(CorruptState, match="the snapshot of experiment 1 is damaged"):
        snapshot.restore(driver.engine.settings, parts)


def test_a_snapshot_of_the_future_is_refused() -> None:
    driver = searching()
    parts = {**snapshot.take(driver.engine), "experiment": msgspec.msgpack.encode({"format": 2, "whatever": 1})}
    with pytest.raises(CorruptState, match="format 2, this version reads 1; upgrade"):
        snapshot.restore(driver.engine.settings, parts)


def test_a_journal_that_does_not_fit_is_reported_as_such() -> None:
    driver = searching()
    known = facts.RunSeen(at=1.0, trial_id=TrialId(1), run_id=RunId(1))
    stray = facts.RunSeen(at=1.0, trial_id=TrialId(1), run_id=RunId(9))
    with pytest.raises(CorruptState, match=r"experiment 1: fact 2 after the snapshot \(RunSeen\)"):
        snapshot.restore(
            driver.engine.settings,
            snapshot.take(driver.engine),
            [known, stray],
        )


def _queued(driver: Driver) -> list[Effect]:
    driver.create("a")
    return [fx.SlotsWanted(TrialId(1), RunId(1), 1)]


def _starting(driver: Driver) -> list[Effect]:
    driver.create("a")
    driver.grant("a", slot_ids=(2, 3))
    return [fx.RunFound(TrialId(1), RunId(1), (2, 3), None, 0, False)]


def _running(driver: Driver) -> list[Effect]:
    driver.begin("a")
    return [fx.RunFound(TrialId(1), RunId(1), (0,), None, 0, True)]


def _restarted(driver: Driver) -> list[Effect]:
    driver.begin("a")
    driver.checkpoint("a", "saved", 10)
    driver.exit("a", 1)
    driver.grant("a")
    return [fx.RunFound(TrialId(1), RunId(2), (0,), "saved", 10, False)]


def _preempted(driver: Driver) -> list[Effect]:
    driver.begin("a")
    driver.command(Verb.PAUSE)
    return [
        fx.RunFound(TrialId(1), RunId(1), (0,), None, 0, True),
        fx.RunPreempt(TrialId(1), RunId(1)),
        fx.DeadlineSet(TrialId(1), RunId(1), DeadlineKind.PREEMPTION, PREEMPTION_GRACE_S),
    ]


def _killed(driver: Driver) -> list[Effect]:
    driver.begin("a")
    driver.command(Verb.PAUSE)
    driver.command(Verb.KILL)
    return [fx.RunFound(TrialId(1), RunId(1), (0,), None, 0, True), fx.RunKill(TrialId(1), RunId(1))]


def _killed_before_the_start_line(driver: Driver) -> list[Effect]:
    driver.create("a")
    driver.grant("a")
    driver.command(Verb.PAUSE)
    return [fx.RunFound(TrialId(1), RunId(1), (0,), None, 0, False), fx.RunKill(TrialId(1), RunId(1))]


def _invalid(driver: Driver) -> list[Effect]:
    driver.begin("a")
    driver.invalid_hp("a")
    return [
        fx.RunFound(TrialId(1), RunId(1), (0,), None, 0, True),
        fx.DeadlineSet(TrialId(1), RunId(1), DeadlineKind.EARLY_EXIT, EARLY_EXIT_GRACE_S),
    ]


def _closed_while_running(driver: Driver) -> list[Effect]:
    driver.begin("a", close=True)
    driver.complete("a")
    return [fx.RunFound(TrialId(1), RunId(1), (0,), None, 0, True)]


def _idle(driver: Driver) -> list[Effect]:
    driver.begin("a")
    driver.complete("a")
    driver.finish("a")
    return []


def _paused(driver: Driver) -> list[Effect]:
    driver.create("a")
    driver.command(Verb.PAUSE)
    return []


def _over(driver: Driver) -> list[Effect]:
    driver.post(Shutdown())
    return []


@pytest.mark.parametrize(
    "phase",
    [
        _queued,
        _starting,
        _running,
        _restarted,
        _preempted,
        _killed,
        _killed_before_the_start_line,
        _invalid,
        _closed_while_running,
        _idle,
        _paused,
        _over,
    ],
)
def test_after_a_restart_everything_unfinished_is_ordered_again(phase) -> None:  # type: ignore[no-untyped-def]
    driver = Driver()
    expected = phase(driver)
    engine = reborn(driver)
    assert engine.resume(99.0) == expected
    assert engine.resume(99.0) == expected
    assert engine.last_event == driver.engine.last_event


def test_resuming_changes_nothing_that_is_saved() -> None:
    driver = searching("ab")
    driver.command(Verb.PAUSE)
    engine = reborn(driver)
    engine.resume(99.0)
    assert engine.dirty == {}
    assert engine.trials == driver.engine.trials


def test_a_refused_fact_leaves_no_trace() -> None:
    driver = searching()
    before = snapshot.take(driver.engine)
    with pytest.raises(InvalidOperations):
        driver.post(Shutdown(), trigger=99)
    assert snapshot.take(driver.engine) == {"experiment": before["experiment"]}
    driver.progress("a", 1.0)
    assert {type(e) for e in driver.last} == {fx.TrialAdvanced, fx.EventEnqueued}


def test_the_order_of_trials_survives() -> None:
    """What reaches every trial reaches them in one order, before and after a restart."""
    driver = Driver()
    for number in range(12):
        driver.create(f"t{number}")
    engine = reborn(driver)
    at = facts.ExperimentCommanded(at=1.0, verb=Verb.PAUSE)
    assert engine.handle(at) == driver.engine.handle(at)
    assert all(a < b for a, b in itertools.pairwise(engine.trials))
    assert engine.index[rid("t11")] == 12
    assert engine.settings.experiment_id == ExperimentId(1)
