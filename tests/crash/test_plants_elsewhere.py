"""Other tests notice bugs too: each planted one makes a test fail, which passes without it where it belongs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.crash.plant_plugin import PLANTS, ROOT


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_bug_makes_a_test_fail(plant: str) -> None:
    _, test = PLANTS[plant]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "tests.crash.plant_plugin"]
    planted = subprocess.run([*command, "--plant", plant, test], cwd=ROOT, capture_output=True, text=True, check=False)
    assert planted.returncode == 1, planted.stdout
    assert "1 failed" in planted.stdout, planted.stdout
