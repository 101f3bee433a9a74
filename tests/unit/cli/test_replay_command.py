"""``det experiment replay`` on files: which event it stops at, and what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from determined.cli.main import main
from determined.workshop.replay import replay
from tests.unit.workshop.recorded_search import CUSTOM, RecordedSearch, complete
from tests.unit.workshop.search_methods import Flipped, Halves

Capture = pytest.CaptureFixture[str]
LAST = 29
METHODS = "tests.unit.workshop.search_methods"


@pytest.fixture(scope="module")
def difference() -> int:
    """The event that ``Flipped`` answers otherwise."""
    found = replay(RecordedSearch(Halves(), complete(CUSTOM)).run(), Flipped).ended_at
    assert found is not None
    assert 1 < found < LAST - 2
    return found


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The events at which the debugger was entered."""
    found: list[int] = []

    def look() -> None:
        state = sys._getframe(1).f_locals["arguments"][0]
        found.append((state.last_event_id or 0) + 1)

    monkeypatch.setattr(sys, "breakpointhook", look)
    return found


def run(tmp_path: Path, capsys: Capture, method: str, *options: str) -> tuple[int, str]:
    """The exit code, and what is told beside the result."""
    path = tmp_path / "a.detrec"
    RecordedSearch(Halves(), complete(CUSTOM)).run().save(path)
    code = main(["e", "replay", str(path), "--method", f"{METHODS}:{method}", *options])
    return code, capsys.readouterr().err


def test_a_replay_that_ends_before_its_last_event_stops_where_it_ends(
    tmp_path: Path, capsys: Capture, difference: int, stops: list[int]
) -> None:
    code, told = run(tmp_path, capsys, "Flipped", "--to", str(difference + 2), "--step")
    assert (code, stops) == (1, [difference])
    assert told == (
        f"The replay ends at event {difference}, which is not answered as recorded, and never comes to event "
        f"{difference + 2}.\n"
    )


def test_a_replay_stops_at_its_last_event_when_it_gets_there(
    tmp_path: Path, capsys: Capture, difference: int, stops: list[int]
) -> None:
    for method, last in (("Flipped", difference), ("Flipped", difference - 1), ("Halves", LAST)):
        assert run(tmp_path, capsys, method, "--to", str(last), "--step")[1] == ""
    assert stops == [difference, difference - 1, LAST]


def test_an_event_that_a_replay_does_not_reach_is_told(
    tmp_path: Path, capsys: Capture, difference: int, stops: list[int]
) -> None:
    code, told = run(tmp_path, capsys, "Flipped", "--step", str(LAST))
    assert (code, stops) == (1, [])
    assert told == f"Did not stop at event {LAST}: the replay had ended at event {difference}.\n"


def test_without_a_difference_there_is_nothing_to_stop_at(tmp_path: Path, capsys: Capture, stops: list[int]) -> None:
    code, told = run(tmp_path, capsys, "Halves", "--step")
    assert (code, stops) == (0, [])
    assert "there is none to stop at; name one: --step N" in told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "0"], "argument --to: '0' is no event; events are counted from 1"),
        (["--to", "-1"], "argument --to"),
        (["--to", "x"], "'x' is no event"),
        (["--step", "0"], "argument --step: '0' is no event"),
        (["--to", str(LAST + 1)], f"has no event {LAST + 1} to be told; its events are 1 to {LAST}"),
        (["--step", str(LAST + 1)], f"has no event {LAST + 1} to be told; its events are 1 to {LAST}"),
        (["--step", "--to", "999"], f"has no event 999 to be told; its events are 1 to {LAST}"),
        (["--step", "9", "--to", "5"], "--step 9 comes after --to 5, where the replay ends"),
    ],
)
def test_an_event_that_is_not_there_is_refused(
    options: list[str], message: str, tmp_path: Path, capsys: Capture, stops: list[int]
) -> None:
    code, told = run(tmp_path, capsys, "Halves", *options)
    assert (code, stops) == (2, [])
    assert message in told
    assert "Traceback" not in told
