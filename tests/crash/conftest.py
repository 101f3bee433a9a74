from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.stage import Stage, opened


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with opened() as stage:
        yield stage
