"""A master that dies at any step and is started again: the search ends as if nothing had happened.

``DET_CRASH_SHARE=n`` plays every n-th point; ``make crash`` plays all of them.
"""

from __future__ import annotations

import pytest

from determined.testing.cluster import TEST_DB
from determined.testing.digest import difference
from tests.crash.stage import SHARE, Broken, Stage

pytestmark = pytest.mark.timeout(7200)
SEARCHES = {"ours": 1, "population": 2, "troubled": 3}
"""The searches, and what part of the points of each is played: their steps are of the same kinds."""


def test_every_kind_of_step_is_passed(stage: Stage) -> None:
    names = {name for name, _ in stage.undisturbed("population").steps}
    assert ("store.create.before" in names) == (TEST_DB == "sqlite")
    assert {
        "store.commit.before",
        "store.commit.after",
        "master.answer",
        "master.secret.write.half",
        "master.context.rename.before",
        "master.recover.before",
        "master.serve.sync.after",
        "master.effect.RunStart.before",
        "master.effect.RunEnded.after",
        "master.effect.ExperimentEnded.before",
        "master.collect.after",
        "master.checkpoint.remove.before",
        "launcher.prepare.after",
        "launcher.spec.after",
        "launcher.spawn.after",
        "launcher.clear.before",
        "client.file.write.half",
    } <= names


@pytest.mark.parametrize("search", SEARCHES)
def test_what_is_played_is_what_was_meant(search: str, stage: Stage) -> None:
    found = stage.undisturbed(search)
    assert found.digest["experiment"] == ("COMPLETED", 1.0, {"ours": 3, "population": 5, "troubled": 7}[search])
    if search == "ours":
        assert sorted(len(trial["done"]) for trial in found.digest["trials"].values()) == [1, 1, 2]


@pytest.mark.parametrize("search", SEARCHES)
def test_nothing_changes_files_or_starts_processes_without_a_named_step(search: str, stage: Stage) -> None:
    assert stage.undisturbed(search).unnamed == []


@pytest.mark.parametrize("search", SEARCHES)
def test_dying_at_any_step_changes_nothing(search: str, stage: Stage) -> None:
    undisturbed = stage.undisturbed(search)
    deaths = undisturbed.steps[:: SHARE * SEARCHES[search]]
    died, wrong = 0, []
    for death in deaths:
        # All points are played in any case: which of them fail together tells more than the first one.
        try:
            found = stage.play(death, search=search)
        except Broken as broken:
            wrong.append(str(broken))
            continue
        differs = difference(undisturbed.digest, found.digest)
        wrong += [f"after dying at {death}: {differs}"] if differs else []
        died += found.died
    assert wrong == []
    # Threads may pass steps in another order, but most points must be reached.
    assert died >= 0.8 * len(deaths)
    print(f"{died} single deaths of masters ({search})")
