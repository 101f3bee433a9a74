"""Other tests notice bugs too: each planted one makes a test fail, which passes without it where it belongs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid

import psutil
import pytest

from tests.crash.plant_plugin import PLANTS, ROOT

MARK = "PLANTED_RUN"


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_bug_makes_a_test_fail(plant: str) -> None:
    _, test = PLANTS[plant]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "tests.crash.plant_plugin"]
    env = {**os.environ, MARK: str(uuid.uuid4())}
    command += ["--plant", plant, test]
    planted = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    end_what_is_left(env[MARK])
    assert planted.returncode == 1, planted.stdout
    assert "1 failed" in planted.stdout, planted.stdout


def end_what_is_left(mark: str) -> None:
    """A bug that leaves processes behind does so here too."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == mark:
                process.kill()
