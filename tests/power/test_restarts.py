"""A process dies, another goes on from what it left, then the power goes; or the power goes twice.

What a dead process wrote and did not sync is there for everybody, until the power goes. So whoever starts syncs what it
is going to rely on. ``DET_POWER_SHARE=n`` plays every n-th end of the first process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.power import sqlite_calls
from tests.power.restarts import PROGRAMS

ROOT = Path(__file__).parent.parent.parent
SHARE = max(int(os.environ.get("DET_POWER_SHARE", "12")), 1)
COST = {"store": 8, "master": 8}
"""A life with SQLite takes as many times longer, so fewer are played, also of all."""

pytestmark = pytest.mark.timeout(3600)

Played = Callable[..., dict[str, Any]]


@pytest.fixture
def played() -> Iterator[Played]:
    """The answer to an order of ``tests.power.restarts``."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as home:

        def play(name: str, share: int, without: str = "") -> dict[str, Any]:
            if name in COST and sqlite_calls.library() is None:
                pytest.skip("Python has SQLite built in, so its file calls cannot be recorded")
            order = json.dumps({"name": name, "place": home, "share": share, "without": without})
            command = [sys.executable, "-m", "tests.power.restarts"]
            answer = subprocess.run(command, cwd=ROOT, input=order, capture_output=True, text=True, check=False)
            assert answer.returncode == 0, answer.stderr
            found: dict[str, Any] = json.loads(answer.stdout)
            return found

        yield play


@pytest.mark.parametrize("name", PROGRAMS)
def test_who_goes_on_after_a_death_or_a_power_cut_can_lose_power_again(name: str, played: Played) -> None:
    found = played(name, SHARE * COST.get(name, 1))
    assert found["problem"] == ""
    assert found["cuts"] > found["lives"] > 0
    print(f"{found['lives']} second lives, {found['cuts']} power cuts in them ({name})")


@pytest.mark.parametrize(
    ("name", "without"),
    [
        ("store", "file of _create_file"),
        ("master", "folder of settle in _create_file"),
        ("runner", "folder of settle"),
        ("runner", "folder of _recover in load"),
        ("runner", "file of _read_answers in load"),
        ("compacting", "file of write_file in record"),
    ],
)
def test_without_any_one_sync_at_the_start_something_is_lost(name: str, without: str, played: Played) -> None:
    assert played(name, 1, without)["problem"]
