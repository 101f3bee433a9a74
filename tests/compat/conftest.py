"""A master in open mode, which is what the genuine client expects when nothing is configured, and that client."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from determined.testing.cluster import LocalMaster

GENUINE = os.environ.get("DET_GENUINE_PYTHON", "")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if GENUINE:
        return
    reason = "the genuine client is not installed; run make test-compat"
    for item in items:
        if "compat" in str(item.path):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMaster]:
    with LocalMaster(tmp_path_factory.mktemp("compat"), open_mode=True) as running:
        yield running


@pytest.fixture
def fresh_config(tmp_path: Path) -> dict[str, str]:
    """A configuration folder that knows no token, so that the client has to log in by itself."""
    return {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)}


@pytest.fixture
def python(master: LocalMaster, fresh_config: dict[str, str]) -> Run:
    """Run a script with the genuine client."""

    def run(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return checked(master, [GENUINE, "-W", "ignore", str(script), *arguments], fresh_config)

    return run


@pytest.fixture
def det(master: LocalMaster, fresh_config: dict[str, str]) -> Run:
    """Run the genuine command line."""

    def run(*arguments: str, code: int = 0, typed: str = "") -> subprocess.CompletedProcess[str]:
        command = [GENUINE, "-W", "ignore", "-m", "determined.cli", *arguments]
        return checked(master, command, fresh_config, code, typed)

    return run


def checked(
    master: LocalMaster, command: Sequence[str], env: dict[str, str], code: int = 0, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    done = master.run(command, typed, **env)
    told = f"{command}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}\n--- master\n{master.log[-4000:]}"
    assert done.returncode == code, told
    return done
