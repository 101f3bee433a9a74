"""A master that dies, and whose successor dies too: half of the pairs while masters start and recover."""

from __future__ import annotations

import random

import pytest

from determined.testing.digest import difference
from tests.crash.stage import SHARE, Stage

pytestmark = pytest.mark.timeout(7200)
PAIRS = {"ours": 480, "population": 240, "troubled": 240}


@pytest.mark.parametrize("search", PAIRS)
def test_dying_twice_changes_nothing(search: str, stage: Stage) -> None:
    undisturbed = stage.undisturbed(search)
    rng = random.Random(20)
    start = [step for step in undisturbed.steps if step[1] <= 2]
    died = 0
    for number in range(PAIRS[search] // SHARE):
        # In the start-up window a master recovers what it has barely begun.
        pair = rng.choices(start if number % 2 else undisturbed.steps, k=2)
        found = stage.play(*pair, search=search)
        assert difference(undisturbed.digest, found.digest) == [], f"after dying at {pair[0]} and then at {pair[1]}"
        died += found.died
    print(f"{PAIRS[search] // SHARE} pairs, {died} deaths of masters ({search})")
