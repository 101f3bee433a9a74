"""A master of ours as a process, shared by the tests of a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from determined.testing.cluster import LocalMaster

SCRIPTS = Path(__file__).parent.parent / "scripts"
MODEL = Path(__file__).parent.parent / "model"


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMaster]:
    with LocalMaster(tmp_path_factory.mktemp("master")) as running:
        yield running


@pytest.fixture
def model() -> Path:
    return MODEL


@pytest.fixture
def search_command() -> Callable[..., list[str]]:
    """The command that runs a search of tests/scripts with our runner."""

    def command(method: str, model: Path, searcher_dir: Path) -> list[str]:
        return [sys.executable, str(SCRIPTS / "run_search.py"), method, str(model), str(searcher_dir)]

    return command
