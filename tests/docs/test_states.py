"""Every state, and every arrow between two of them, has its sentence in the documentation."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

import pytest

from determined.domain.states import EXPERIMENT_TRANSITIONS, RUN_TRANSITIONS, TRIAL_TRANSITIONS
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "states.md").read_text()
S = TypeVar("S", bound=Enum)


def named(table: Mapping[S, frozenset[S]]) -> Mapping[str, set[str]]:
    return {old.value: {new.value for new in news} for old, news in table.items()}


TABLES = {
    "Experiments": named(EXPERIMENT_TRANSITIONS),
    "Trials": named(TRIAL_TRANSITIONS),
    "Runs": named(RUN_TRANSITIONS),
}
NAMES = r"`[A-Z_]+`(?:, `[A-Z_]+`)*"


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def names(cell: str) -> list[str]:
    return re.findall(r"`([A-Z_]+)`", cell)


@pytest.mark.parametrize("title", TABLES)
def test_every_state_says_what_it_means(title: str) -> None:
    told = re.findall(rf"^\| ({NAMES}) \| [A-Z][^|]+ \|$", section(title), re.MULTILINE)
    assert sorted(name for cell in told for name in names(cell)) == sorted(TABLES[title])


@pytest.mark.parametrize("title", TABLES)
def test_every_arrow_has_one_sentence_and_no_sentence_is_without_an_arrow(title: str) -> None:
    rows = re.findall(rf"^\| ({NAMES}) \| (`[A-Z_]+`) \| [A-Z][^|]+\. \|$", section(title), re.MULTILINE)
    told = Counter((old, new) for olds, news in rows for old in names(olds) for new in names(news))
    arrows = Counter((old, new) for old, news in TABLES[title].items() for new in news)
    assert told == arrows
