"""The checker must see each kind of damage; elsewhere every test relies on its silence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from determined.domain.facts import Verb
from determined.domain.ids import RunId, TrialId
from determined.domain.operations import Shutdown
from determined.domain.states import ExperimentState, RunPhase, TrialState
from determined.engine.invariants import check
from determined.engine.trial import LiveRun, Trial
from tests.unit.engine.engine_driver import Driver, rid, searching


def _run(driver: Driver) -> LiveRun:
    run = driver.trial("a").run
    assert run is not None
    return run


def _set(**fields: object) -> Callable[[Driver], None]:
    def damage(driver: Driver) -> None:
        for name, value in fields.items():
            setattr(driver.engine, name, value)

    return damage


def _trial(**fields: object) -> Callable[[Driver], None]:
    def damage(driver: Driver) -> None:
        for name, value in fields.items():
            setattr(driver.trial("a"), name, value)

    return damage


def _misfile(driver: Driver) -> None:
    driver.engine.trials[TrialId(9)] = driver.engine.trials.pop(driver.id_of("a"))


def _share_an_id(driver: Driver) -> None:
    driver.engine.index[rid("b")] = driver.id_of("a")


def _mark_a_stranger(driver: Driver) -> None:
    driver.engine.dirty[TrialId(9)] = Trial(TrialId(9), rid("z"), TrialState.ACTIVE)


def _requeue(driver: Driver) -> None:
    _run(driver).phase = RunPhase.QUEUED


def _renumber(driver: Driver) -> None:
    _run(driver).run_id = RunId(7)


def _queue_for_nothing(driver: Driver) -> None:
    driver.trial("a").run = LiveRun(RunId(2))
    driver.trial("a").complete = True


def _queue_out_of_turn(driver: Driver) -> None:
    driver.trial("a").run = LiveRun(RunId(9))


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (_set(answered=99), "event 99 is answered, but 2 is the newest"),
        (_set(progress=1.5), "progress is 1.5"),
        (_set(state=ExperimentState.COMPLETED), "completed with progress None"),
        (_set(state=ExperimentState.CANCELED), "1 trials are alive"),
        (_set(ended_at=3.0), "is ACTIVE and ended at 3.0"),
        (_set(state=ExperimentState.STOPPING_ERROR, trials={}), "waits for nobody"),
        (_set(state=ExperimentState.STOPPING_KILLED), "less than its experiment's STOPPING_KILLED"),
        (_set(state=ExperimentState.PAUSED), "is ACTIVE in an experiment that is PAUSED"),
        (_share_an_id, "two request ids have one trial"),
        (_mark_a_stranger, "is to be saved that never was"),
        (_misfile, "trial 9 is filed under a wrong id"),
        (_trial(state=TrialState.ERROR), "is ERROR and still listed"),
        (_trial(complete=True, closed=True), "does not stop"),
        (_trial(length=None), "work of no length"),
        (_trial(restarts=6), "alive after 6 restarts of 5"),
        (_trial(announced=False), "not announced after 1 runs"),
        (_trial(run=None), "wants a run"),
        (_trial(run=None, state=TrialState.STOPPING_KILLED), "without a run, and not over"),
        (_trial(state=TrialState.STOPPING_KILLED), "run 1 is not killed"),
        (_trial(state=TrialState.STOPPING_CANCELED), "run 1 is not asked to exit"),
        (_requeue, "things have happened to it"),
        (_renumber, "run 7 has a process, but 1 is the newest"),
        (_queue_for_nothing, "waits for slots for nothing"),
        (_queue_out_of_turn, "run 9 waits for slots after run 1"),
    ],
)
def test_damage_is_found(damage: Callable[[Driver], None], found: str) -> None:
    driver = searching()
    damage(driver)
    assert any(found in text for text in check(driver.engine)), check(driver.engine)


def test_a_healthy_engine_has_nothing_to_report() -> None:
    driver = searching("abc")
    driver.command(Verb.PAUSE)
    driver.command(Verb.ACTIVATE)
    driver.post(Shutdown())
    assert check(driver.engine) == []
