"""The simulation notices bugs: each plant breaks one thing that must hold."""

from __future__ import annotations

import pytest

from tests.simulation.disk import Violation
from tests.simulation.methods import COMPARABLE
from tests.simulation.plants import PLANTS
from tests.simulation.world import MAX_RESTARTS, Setup, reference, simulate

SEEDS = 120
"""So many are tried; most plants are noticed by one of the first ten."""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module", autouse=True)
def _references() -> None:
    """Undisturbed searches are played before anything is broken."""
    for method in sorted(COMPARABLE):
        for limit in MAX_RESTARTS:
            reference(Setup(method, max_restarts=limit))


@pytest.mark.parametrize("plant", sorted(PLANTS))
def test_a_planted_bug_is_noticed(plant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTS[plant](monkeypatch)
    for seed in range(SEEDS):
        try:
            simulate(seed)
        except Violation as e:
            print(f"{plant}: {str(e).splitlines()[0]}")
            return
    pytest.fail(f"{SEEDS} searches went well with the bug {plant}")
