"""The crash tests notice bugs: each plant makes a search go wrong that a master's death must not harm."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from determined.errors import DeterminedError
from determined.testing.digest import difference
from tests.crash.plants import PLANTS
from tests.crash.stage import Broken, Death, Stage, opened

COMMIT, ADVANCED = "store.commit.before", "master.effect.TrialAdvanced.after"
ANSWERED, QUEUED = "master.effect.EventsAcknowledged.before", "master.effect.EventEnqueued.before"
ENDED = "master.effect.ExperimentEnded.after"
POINTS: dict[str, list[tuple[Death, ...]]] = {
    "answer_before_the_commit": [((COMMIT, n),) for n in range(20, 50)],
    "forget_names_of_reports": [((ADVANCED, n),) for n in range(1, 12)],
    "apply_repeated_answers": [((ANSWERED, n),) for n in range(4, 16)],
    "start_runs_anew": [((ADVANCED, n),) for n in (2, 4, 8)],
    "ignore_the_client_key": [((QUEUED, 1),)],
    "make_a_new_key_each_time": [((QUEUED, 1),)],
    "leave_collections_unfinished": [((ENDED, 1),)],
    "snapshot_without_trials": [((ADVANCED, n),) for n in (6, 9, 12)],
    "reuse_event_ids": [((ADVANCED, n),) for n in range(4, 16)],
    "runs_end_with_the_master": [((ADVANCED, n),) for n in (2, 4, 8)],
    "collect_everything": [()],
}
"""Where to look for each; one of the places must do."""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with opened() as stage:
        yield stage


@pytest.mark.parametrize("plant", sorted(PLANTS))
def test_a_planted_bug_is_noticed(plant: str, stage: Stage) -> None:
    assert any(goes_wrong(stage, plant, deaths) for deaths in POINTS[plant])


def goes_wrong(stage: Stage, plant: str, deaths: tuple[Death, ...]) -> bool:
    try:
        found = stage.play(*deaths, plant=plant).digest
    except (Broken, AssertionError, DeterminedError):
        # The search did not end, or the digest found what cannot be.
        return True
    return difference(stage.undisturbed().digest, found) != []
