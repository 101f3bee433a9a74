"""Rare chance in a method is found, told as what it is, and seen again after a few attempts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from determined.errors import InvalidInput
from determined.testing import CheckFailed, check_search_method, replay_story
from determined.workshop.check import Kind
from tests.unit.workshop.check.plants_chance import DICE, RarelyCloses, RarelyRaises
from tests.unit.workshop.check.small_halving import SmallHalving

ROOT = Path(__file__).parents[4]
STORY = [("answer", "", 0.0), ("validate", "a", 0.5)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("probability", [0.005, 0.02, 0.05])
def test_a_rare_choice_of_chance_is_found_in_a_short_story(probability: float, seed: int) -> None:
    """Hypothesis, which saw the world fail once and then pass, used to end the check with an error of its own."""
    DICE.begin(seed)
    with pytest.raises(CheckFailed, match=r"answers \[.*\(.*\] instead of \[.*It comes by chance") as found:
        check_search_method(RarelyCloses, args={"probability": probability}, cost=False, other_processes=False)
    assert found.value.finding.kind is Kind.RANDOM
    assert len(found.value.finding.story) <= 12, str(found.value)


def test_a_rare_exception_keeps_its_name_and_place() -> None:
    DICE.begin(0)
    with pytest.raises(CheckFailed, match=r"RuntimeError: out of luck \(.*plants_chance\.py, line \d+\)") as found:
        check_search_method(RarelyRaises, cost=False, other_processes=False)
    assert found.value.finding.kind is Kind.RANDOM
    DICE.begin(0)
    with pytest.raises(CheckFailed, match=r"out of luck.*It comes by chance") as found:
        check_search_method(RarelyRaises, cost=False, repeatable=False)
    assert found.value.finding.kind is Kind.RAISES


def test_the_file_of_a_rare_failure_repeats_its_story_until_it_fails(tmp_path: Path) -> None:
    DICE.begin(1)
    path = tmp_path / "again.py"
    with pytest.raises(CheckFailed):
        check_search_method(RarelyCloses, write=path, other_processes=False)
    text = path.read_text()
    assert "attempts=1000," in text
    assert "it may take several attempts to see it" in text
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1
    assert "CheckFailed: RarelyCloses: the same events get different answers" in done.stderr


def test_a_story_is_played_as_often_as_is_asked_for() -> None:
    DICE.begin(0)
    replay_story(RarelyCloses, moves=STORY)
    DICE.begin(0)
    with pytest.raises(CheckFailed, match="It comes by chance"):
        replay_story(RarelyCloses, moves=STORY, attempts=1000)
    replay_story(SmallHalving, moves=STORY, attempts=3)
    with pytest.raises(InvalidInput, match="cannot be played 0 times; attempts must be at least 1"):
        replay_story(SmallHalving, moves=STORY, attempts=0)
