"""Searches under simulated faults with the real service of the master; ``DET_SIM_REAL_SEEDS`` says how many (100)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import pytest

from tests.simulation.disk import Violation
from tests.simulation.methods import COMPARABLE
from tests.simulation.plants_service import PLANTS
from tests.simulation.real_world import RealWorld
from tests.simulation.world import MAX_RESTARTS, Setup, reference, simulate

SEEDS = int(os.environ.get("DET_SIM_REAL_SEEDS", "100"))
AT_ONCE = 25
FIRST = {"give_up_on_a_full_disk": 60}
"""Where to begin to look, for what is rarely noticed."""

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module", autouse=True)
def _references() -> None:
    """Undisturbed searches are played before anything is broken, with the model master: both must come to the same."""
    for method in sorted(COMPARABLE):
        for limit in MAX_RESTARTS:
            reference(Setup(method, max_restarts=limit))


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_searches_survive(first: int, record_property: Callable[[str, object], None]) -> None:
    counts: Counter[str] = Counter()
    compared, seeds = 0, range(first, min(first + AT_ONCE, SEEDS))
    for seed in seeds:
        outcome = simulate(seed, make=RealWorld)
        counts += outcome.counts
        compared += outcome.was_compared
    record_property("simulated", {"searches": len(seeds), "compared": compared, **counts})
    print(f"seeds {first} to {seeds[-1]}: {dict(counts)}, {compared} compared")
    assert compared > 0


def test_another_process_plays_the_same() -> None:
    """Sets of objects and of texts have another order in each process; nothing that is observed may depend on it."""
    outputs = set()
    for hash_seed in ("1", "2"):
        command = [sys.executable, "-m", "tests.simulation", "1", "7", "--real"]
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        outputs.add(subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout)
    assert len(outputs) == 1


@pytest.mark.parametrize("plant", sorted(PLANTS))
def test_a_planted_bug_is_noticed(plant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTS[plant](monkeypatch)
    first = FIRST.get(plant, 0)
    for seed in range(first, first + 100):
        try:
            simulate(seed, make=RealWorld)
        except Violation as e:
            print(f"{plant}: {str(e).splitlines()[0]}")
            return
    pytest.fail(f"100 searches went well with the bug {plant}")
