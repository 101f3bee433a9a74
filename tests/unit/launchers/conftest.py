"""Helpers for tests with real processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from determined.testing.local_machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "data")
