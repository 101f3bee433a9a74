"""A master of ours as a process, shared by the tests of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from determined.testing.cluster import LocalMaster
from tests.e2e.support import MODEL, command_of


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMaster]:
    with LocalMaster(tmp_path_factory.mktemp("master")) as running:
        yield running


@pytest.fixture
def model() -> Path:
    return MODEL


@pytest.fixture
def search_command() -> Callable[..., list[str]]:
    return command_of
