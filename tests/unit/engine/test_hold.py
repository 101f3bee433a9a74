"""How long a process without work is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from determined.domain.facts import Verb
from determined.engine.hold import CONTESTED_WAIT_S, DECISION_WAIT_S, DETACHED_WAIT_S, LINGER_S, Situation, hold_s
from tests.unit.engine.engine_driver import Driver, searching

ASKED = Situation(now=1000.0, asked_at=1000.0, answered=0, answered_at=0.0, attached=True, contested=False)


def idle() -> Driver:
    driver = searching()
    driver.complete("a")
    return driver


@pytest.mark.parametrize(
    ("situation", "seconds"),
    [
        (ASKED, DECISION_WAIT_S),
        (replace(ASKED, contested=True), DECISION_WAIT_S),
        (replace(ASKED, now=1010.0), DECISION_WAIT_S - 10),
        (replace(ASKED, now=2000.0), 0.0),
        (replace(ASKED, attached=False), DETACHED_WAIT_S),
        (replace(ASKED, attached=False, contested=True), CONTESTED_WAIT_S),
        (replace(ASKED, attached=False, now=1007.0), 0.0),
        (replace(ASKED, answered=3), LINGER_S),
        (replace(ASKED, answered=9, answered_at=1000.5, now=1001.0), LINGER_S - 0.5),
        (replace(ASKED, answered=9, answered_at=10.0, now=1000.0), LINGER_S),
        (replace(ASKED, answered=9, now=1003.0), 0.0),
        (replace(ASKED, answered=9, contested=True), 0.0),
        (replace(ASKED, answered=9, attached=False), LINGER_S),
    ],
)
def test_how_long(situation: Situation, seconds: float) -> None:
    driver = idle()
    completion = driver.trial("a").completion
    assert completion is not None
    assert completion.event_id == 3
    assert hold_s(driver.trial("a"), situation) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "why",
    ["closed", "paused", "cancelled", "its search cancelled", "killed", "preempted", "no run", "nothing done yet"],
)
def test_nobody_is_held_for_whom_nothing_can_come(why: str) -> None:
    driver = idle()
    if why == "closed":
        driver.close("a")
    elif why == "paused":
        driver.command(Verb.PAUSE)
    elif why == "cancelled":
        driver.cancel("a")
    elif why == "its search cancelled":
        driver.command(Verb.CANCEL)
    elif why == "killed":
        driver.kill("a")
    elif why == "preempted":
        driver.preempt("a")
    elif why == "no run":
        driver.finish("a")
    else:
        driver.create("b", None)
    assert hold_s(driver.trial("b" if why == "nothing done yet" else "a"), ASKED) == 0.0
