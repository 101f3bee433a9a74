"""A disk that fails at the n-th call, for every n: what it refused is told, nothing is half there, and all goes on.

``DET_POWER_SHARE=n`` plays every n-th; ``make power`` plays all.
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

ROOT = Path(__file__).parent.parent.parent
SHARE = max(int(os.environ.get("DET_POWER_SHARE", "12")), 1)
FAULTS = {
    "disk full": ("write", 13),
    "write error": ("write", 10 | 3 << 8),
    "sync error": ("sync", 10 | 4 << 8),
    "cut error": ("cut", 10 | 6 << 8),
}
"""Kind of call, and the code of SQLite's: FULL, IOERR_WRITE, IOERR_FSYNC, IOERR_TRUNCATE."""

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def play() -> Iterator[Callable[[str, int], dict[str, Any]]]:
    if sqlite_calls.library() is None:
        pytest.skip("Python has SQLite built in, so its file calls cannot be made to fail")
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as home:
        command = [sys.executable, "-m", "tests.power.failing", home]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
            assert child.stdin is not None
            assert child.stdout is not None

            def one(fault: str, number: int) -> dict[str, Any]:
                assert child.stdin is not None
                assert child.stdout is not None
                kind, code = FAULTS[fault]
                child.stdin.write(json.dumps({"kind": kind, "number": number, "code": code}) + "\n")
                child.stdin.flush()
                answer: dict[str, Any] = json.loads(child.stdout.readline())
                return answer

            yield one
            child.stdin.close()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_disk_that_fails_once_costs_nothing_but_an_answer(
    fault: str, play: Callable[[str, int], dict[str, Any]]
) -> None:
    quiet = play(fault, 0)
    assert quiet["problem"] == ""
    assert quiet["calls"] > 0
    numbers = range(1, quiet["calls"] + 1, max(1, SHARE // 2))
    for number in numbers:
        assert play(fault, number)["problem"] == "", f"{fault} at call {number}"
    print(f"{len(numbers)} failures ({fault})")
