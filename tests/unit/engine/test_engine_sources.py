"""Trials that start from what another trial has saved."""

from __future__ import annotations

import msgspec
import pytest

from determined.domain.operations import Close, Create, ValidateAfter
from determined.domain.states import TrialState
from determined.engine import effects as fx
from determined.engine import snapshot
from determined.engine.experiment import Experiment
from determined.engine.story import story
from determined.errors import InvalidOperations
from tests.unit.engine.engine_driver import Driver, rid, searching


def copy(driver: Driver, child: str, parent: str) -> str | None:
    """Where the child starts from."""
    driver.post(Create(rid(child), {}, source_trial=rid(parent)), ValidateAfter(rid(child), 200))
    [added] = driver.said(fx.TrialAdded)
    driver.grant(child)
    [start] = driver.said(fx.RunStart)
    assert start.checkpoint == added.warm_start
    assert start.steps == 0
    warm_start: str | None = added.warm_start
    return warm_start


def over(driver: Driver, name: str) -> None:
    driver.complete(name)
    driver.close(name)
    driver.finish(name)
    assert driver.is_over(name)


def test_a_trial_starts_from_the_newest_checkpoint_of_one_that_runs() -> None:
    driver = searching("a")
    driver.checkpoint("a", "old", 10)
    driver.checkpoint("a", "new", 20)
    assert copy(driver, "b", "a") == "new"
    driver.checkpoint("a", "later", 30)
    assert driver.trial("b").start_from == ("new", 0)


def test_a_trial_starts_from_the_newest_checkpoint_of_one_that_is_over() -> None:
    driver = searching("a")
    driver.checkpoint("a", "last", 10)
    over(driver, "a")
    assert copy(driver, "b", "a") == "last"


def test_a_trial_starts_from_one_that_is_closed_in_the_same_batch() -> None:
    driver = searching("a")
    driver.checkpoint("a", "last", 10)
    driver.complete("a")
    driver.acknowledge("a")
    driver.exit("a", 0)
    driver.post(Close(rid("a")), Create(rid("b"), {}, source_trial=rid("a")))
    [added] = driver.said(fx.TrialAdded)
    assert added.warm_start == "last"
    assert driver.is_over("a")


@pytest.mark.parametrize("ended", [False, True])
def test_a_source_without_a_checkpoint_hands_on_where_it_started(ended: bool) -> None:
    driver = searching("a")
    driver.checkpoint("a", "of-a", 10)
    copy(driver, "b", "a")
    if ended:
        driver.kill("b")
        driver.exit("b", 137)
        assert driver.is_over("b")
    assert copy(driver, "c", "b") == "of-a"


@pytest.mark.parametrize("warm_start", [None, "given"])
def test_a_source_that_has_nothing_is_a_start_like_any_other(warm_start: str | None) -> None:
    driver = searching("a", warm_start=warm_start)
    assert copy(driver, "b", "a") == warm_start
    over(driver, "a")
    assert copy(driver, "c", "a") == warm_start


@pytest.mark.parametrize("source", ["x", "b"])
def test_a_source_has_to_exist_before_the_batch(source: str) -> None:
    driver = searching("a")
    before = snapshot.take(driver.engine)
    with pytest.raises(InvalidOperations, match=r"operation 1: .* created in an earlier batch"):
        driver.post(Create(rid("b"), {}), Create(rid("c"), {}, source_trial=rid(source)))
    assert rid("b") not in driver.engine.index
    assert snapshot.take(driver.engine) == {"experiment": before["experiment"]}


def test_the_newest_checkpoint_of_a_trial_that_is_over_survives_a_restart() -> None:
    driver = searching("ab")
    driver.checkpoint("a", "last", 10)
    over(driver, "a")
    over(driver, "b")
    restored = snapshot.restore(driver.engine.settings, snapshot.take(driver.engine))
    assert restored.newest_checkpoint(rid("a")) == "last"
    assert restored.newest_checkpoint(rid("b")) is None


def test_a_snapshot_from_before_there_were_sources_is_read() -> None:
    driver = searching("a")
    driver.checkpoint("a", "last", 10)
    over(driver, "a")
    parts = snapshot.take(driver.engine)
    old = msgspec.msgpack.decode(parts["1"])
    assert old.pop("checkpoint") == "last"
    restored: Experiment = snapshot.restore(driver.engine.settings, {**parts, "1": msgspec.msgpack.encode(old)})
    assert restored.newest_checkpoint(rid("a")) is None


def test_the_story_of_a_trial_names_its_source() -> None:
    driver = searching("a")
    copy(driver, "b", "a")
    [created, *_] = story(driver.history, driver.id_of("b"))
    assert f"starting from the newest checkpoint of the trial with request id {rid('a')}" in created
    assert driver.trial("b").state is TrialState.ACTIVE
