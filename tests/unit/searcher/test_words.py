from __future__ import annotations

import logging
import math
import uuid
from typing import Any

import pytest

from determined.methods.single import SingleSearch
from determined.searcher.words import AHEAD_S, SHARE, Words

RID = uuid.UUID(int=7)


class Telling(SingleSearch):
    """A method that says what it is given to say."""

    def __init__(self) -> None:
        self.says: Any = None
        self.asked = 0
        self.takes_s = 0.0
        self.now = 0.0

    def summary(self) -> Any:
        self.asked += 1
        self.now += self.takes_s
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@pytest.fixture
def method() -> Telling:
    return Telling()


def test_a_summary_is_told_when_it_has_changed_and_as_json(method: Telling) -> None:
    words = Words(method)
    assert words.news() is None
    method.says = {"best": math.nan, "trial": RID, "rungs": ({"n": 1},)}
    assert words.news() == {"best": None, "trial": str(RID), "rungs": [{"n": 1}]}
    assert words.news() is None
    method.says = {"best": 0.5}
    assert words.news() == {"best": 0.5}


def test_a_method_that_takes_long_is_asked_for_a_small_part_of_the_time(method: Telling) -> None:
    method.takes_s, method.says = 1.0, {"slow": True}
    words = Words(method, clock=lambda: method.now)
    for _ in range(1000):
        words.news()
        method.now += 0.5
    assert 3 < method.asked <= SHARE * method.now + AHEAD_S + 1


@pytest.mark.parametrize("says", [RuntimeError("oh"), {"long": "x" * 100_000}, ["no", "mapping"], 7])
def test_a_summary_that_cannot_be_had_is_told_of_once_and_stops_nothing(
    method: Telling, says: Any, caplog: pytest.LogCaptureFixture
) -> None:
    words = Words(method)
    method.says = says
    with caplog.at_level(logging.WARNING):
        assert words.news() is None
        assert words.news() is None
    assert [r.getMessage().partition(":")[0] for r in caplog.records] == ["The web UI shows no summary of this search"]
    assert method.asked == 1
