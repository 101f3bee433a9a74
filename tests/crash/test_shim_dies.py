"""The process beside a run dies at any step: the run is declared lost once, started again once, and not held against
the trial.
"""

from __future__ import annotations

import pytest

from determined.testing.digest import difference
from tests.crash.stage import SHARE, Stage

pytestmark = pytest.mark.timeout(7200)


# Trainings that go on where their checkpoint is, so that a lost run leaves no trace.
@pytest.mark.parametrize("search", ["population", "troubled"])
def test_dying_at_any_step_changes_nothing(search: str, stage: Stage) -> None:
    undisturbed = stage.undisturbed(search, killed=True)
    deaths = undisturbed.shim_steps[:: max(1, SHARE // 2)]
    died = 0
    for death in deaths:
        found = stage.play(search=search, shim=death, killed=True)
        assert difference(undisturbed.digest, found.digest) == [], f"after dying at {death}"
        assert found.restarts == undisturbed.restarts, f"after dying at {death}"
        died += death in found.shim_steps
    # Output comes in as many pieces as it likes, but most points must be reached.
    assert died >= 0.8 * len(deaths)
    print(f"{died} single deaths of shims ({search})")


def test_every_kind_of_step_is_passed(stage: Stage) -> None:
    names = {name for _, name, _ in stage.undisturbed("population", killed=True).shim_steps}
    assert {
        "shim.claim.before",
        "shim.claim.after",
        "shim.spawn.after",
        "shim.ready.before",
        "shim.sync.after",
        "shim.log.before",
        "shim.kill.before",
        "shim.log.sync.after",
        "shim.exit.write.half",
        "shim.exit.rename.after",
    } <= names
