"""Whole searches under simulated faults, each from one seed; ``DET_SIM_SEEDS`` says how many (600 if it does not)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import pytest

from tests.simulation.faults import HARSH, KINDS
from tests.simulation.world import simulate

SEEDS = int(os.environ.get("DET_SIM_SEEDS", "600"))
AT_ONCE = 50
LEAST_EVENTS = 1700
"""Simulated events per search, on average over ``AT_ONCE`` searches; so 600 of them are more than a million."""

pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_searches_survive(first: int, record_property: Callable[[str, object], None]) -> None:
    counts: Counter[str] = Counter()
    happened: Counter[str] = Counter()
    compared, seeds = 0, range(first, min(first + AT_ONCE, SEEDS))
    for seed in seeds:
        outcome = simulate(seed)
        counts += outcome.counts
        happened += outcome.happened
        compared += outcome.was_compared
    record_property("simulated", {"searches": len(seeds), "compared": compared, **counts})
    print(
        f"seeds {first} to {seeds[-1]}: {counts.total()} events {dict(counts)}, {compared} compared; {dict(happened)}"
    )
    if len(seeds) == AT_ONCE:
        assert counts.total() >= LEAST_EVENTS * AT_ONCE
        assert compared >= AT_ONCE // 5, "too few searches were comparable with an undisturbed one"
        assert not [kind for kind, _ in KINDS if not happened[kind]], "some faults never happened"
        assert sum(happened[kind] for kind, _ in HARSH) > 0


def test_the_same_seed_plays_the_same() -> None:
    for seed in range(5):
        assert simulate(seed).trace == simulate(seed).trace


def test_another_seed_plays_differently() -> None:
    assert len({simulate(seed).trace for seed in range(20)}) == 20


def test_another_process_plays_the_same() -> None:
    """The order of sets of texts differs from process to process; nothing may depend on it."""
    outputs = set()
    for hash_seed in ("1", "2"):
        command = [sys.executable, "-m", "tests.simulation", "1", "7", "23"]
        played = subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
        )
        outputs.add(played.stdout)
    assert len(outputs) == 1
