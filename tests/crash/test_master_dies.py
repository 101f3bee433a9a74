"""A master that dies at any step, once or twice, and is started again: the search ends as if nothing had happened.

``DET_CRASH_SHARE=n`` plays every n-th point and n-th of the pairs; ``make crash`` plays all of them.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.crash.digest import difference
from tests.crash.stage import Death, Stage, opened

SHARE = int(os.environ.get("DET_CRASH_SHARE", "24"))
PAIRS = 480

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with opened() as stage:
        yield stage


@pytest.fixture(scope="module")
def undisturbed(stage: Stage) -> tuple[dict[str, Any], list[Death]]:
    found, steps, _ = stage.play()
    assert found["experiment"] == ("COMPLETED", 1.0, 3)
    assert sorted(len(trial["trained"]) for trial in found["trials"].values()) == [1, 1, 2]
    return found, steps


def test_every_kind_of_step_is_passed(undisturbed: tuple[dict[str, Any], list[Death]]) -> None:
    names = {name for name, _ in undisturbed[1]}
    assert {
        "store.commit.before",
        "store.commit.after",
        "master.answer",
        "master.context.after",
        "master.recover.before",
        "master.effect.RunStart.before",
        "master.effect.RunEnded.after",
        "master.effect.ExperimentEnded.before",
        "launcher.prepare.after",
        "launcher.spawn.after",
    } <= names


def test_dying_at_any_step_changes_nothing(stage: Stage, undisturbed: tuple[dict[str, Any], list[Death]]) -> None:
    expected, steps = undisturbed
    died = 0
    for death in steps[:: max(SHARE, 1)]:
        found, _, deaths = stage.play(death)
        assert difference(expected, found) == [], f"after dying at {death}"
        died += deaths
    # Threads may pass steps in another order, but most points must be reached.
    assert died >= 0.8 * len(steps[:: max(SHARE, 1)])
    print(f"{died} single deaths of masters")


def test_dying_twice_changes_nothing(stage: Stage, undisturbed: tuple[dict[str, Any], list[Death]]) -> None:
    expected, steps = undisturbed
    rng = random.Random(20)
    start = [step for step in steps if step[1] <= 2]
    died = 0
    for number in range(PAIRS // max(SHARE, 1)):
        # Half of them in the start-up window, where a master recovers what it has barely begun.
        pair = rng.choices(start if number % 2 else steps, k=2)
        found, _, deaths = stage.play(*pair)
        assert difference(expected, found) == [], f"after dying at {pair[0]} and then at {pair[1]}"
        died += deaths
    print(f"{died} deaths of masters in pairs")
