"""Journals that earlier versions wrote: today's engine must read them, and come to the same outcome.

A file is added when a bug is fixed that a journal shows, and never changed; ``determined.testing.history`` makes one.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from determined.domain.facts import KINDS
from determined.domain.ids import TrialId
from determined.engine.story import story
from determined.testing.history import History, dump, load, outcome

FILES = sorted((Path(__file__).parent / "recorded").glob("*.jsonl"))


@pytest.fixture(params=FILES, ids=lambda path: str(path.stem))
def recorded(request: pytest.FixtureRequest) -> History:
    return load(request.param)


@pytest.mark.parametrize(
    "reload_every", [0, 1, 7], ids=["at once", "reloaded after each fact", "reloaded now and then"]
)
def test_a_recorded_journal_leads_to_the_recorded_outcome(recorded: History, reload_every: int) -> None:
    assert outcome(recorded, reload_every) == recorded.outcome


def test_a_recorded_journal_is_written_as_it_was_read(recorded: History, tmp_path: Path) -> None:
    path = tmp_path / "again.jsonl"
    path.write_text(dump(recorded))
    assert load(path) == recorded


def test_every_trial_has_a_story_that_ends_with_its_last_run(recorded: History) -> None:
    for trial_id, trial in recorded.outcome["trials"].items():
        sentences = story(recorded.facts, TrialId(int(trial_id)))
        assert "the search method created it" in sentences[0]
        ends = [sentence for sentence in sentences if f"run {trial['runs']} exited" in sentence]
        assert len(ends) == (1 if trial["runs"] else 0)


def test_the_recorded_journals_hold_facts_of_most_kinds() -> None:
    kinds = {row.kind for path in FILES for row in load(path).rows}
    # What users of recorded histories cannot see: these come only when something outside of the search goes wrong.
    assert set(KINDS) - kinds == {"method_failed", "preemption_requested", "deadline_passed"}
