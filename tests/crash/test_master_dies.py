"""A master that dies at any step, once or twice, and is started again: the search ends as if nothing had happened.

``DET_CRASH_SHARE=n`` plays every n-th point and n-th of the pairs; ``make crash`` plays all of them.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.crash.digest import difference, digest

ROOT = Path(__file__).parent.parent.parent
SHARE = int(os.environ.get("DET_CRASH_SHARE", "24"))
PAIRS = 480
Death = tuple[str, int]

pytestmark = pytest.mark.timeout(3600)


@dataclass
class Stage:
    """Plays searches."""

    home: Path
    zygote: subprocess.Popen[str]
    played: int = 0

    def play(self, *deaths: Death) -> tuple[dict[str, Any], list[Death], int]:
        """One search: its digest, the steps of its last master, and how many masters died."""
        self.played += 1
        folder = self.home / str(self.played)
        folder.mkdir()
        assert self.zygote.stdin is not None
        assert self.zygote.stdout is not None
        self.zygote.stdin.write(json.dumps({"folder": str(folder), "deaths": deaths}) + "\n")
        self.zygote.stdin.flush()
        answer = json.loads(self.zygote.stdout.readline())
        told = f"after {deaths}: {answer['code']}\n{(folder / 'runner.log').read_text()[-3000:]}"
        assert answer["code"] == 0, told
        found = digest(folder / "data")
        shutil.rmtree(folder)
        return found, [(name, n) for name, n in answer["steps"]], answer["died"]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    memory = Path("/dev/shm")
    command = [sys.executable, "-m", "tests.crash.zygote"]
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as home:
        zygote = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        try:
            yield Stage(Path(home), zygote)
        finally:
            assert zygote.stdin is not None
            assert zygote.stdout is not None
            zygote.stdin.close()
            zygote.wait()
            zygote.stdout.close()


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
