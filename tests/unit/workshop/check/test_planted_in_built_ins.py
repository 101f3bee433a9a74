"""A fault of one line in a built-in method is found, is called by its name, and is told in a short story."""

from __future__ import annotations

import pytest

from determined.domain.search_method import SearchMethod
from determined.testing import CheckFailed, check_search_method
from determined.workshop.check import Kind
from tests.unit.workshop.check import plants_built_in as plants

MOST_STEPS = 12
FAULTS: dict[type[SearchMethod], Kind] = {
    plants.RandomForgetsToClose: Kind.DEADLOCK,
    plants.RandomStartsOneTooMany: Kind.BUDGET,
    plants.RandomCountsAFinishedTrialTwice: Kind.PROGRESS_RANGE,
    plants.RandomTakesTheIdOfAnInvalidTrial: Kind.REUSED_ID,
    plants.GridNeverShutsDown: Kind.DEADLOCK,
    plants.GridLosesItsPlace: Kind.RELOAD,
    plants.GridProgressFalls: Kind.PROGRESS_FALLS,
    plants.GridMovesOnWhenItIsSaved: Kind.SAVING,
    plants.HalvingPromotesTwice: Kind.LENGTH,
    plants.HalvingClosesAClosedTrial: Kind.OVER_TRIAL,
    plants.HalvingLeavesLosersOpen: Kind.DEADLOCK,
    plants.HalvingWaitsForTheDead: Kind.DEADLOCK,
    plants.HalvingIgnoresInvalidPoints: Kind.DEADLOCK,
    plants.HalvingCrashesOnNaN: Kind.RAISES,
    plants.AdaptiveForgetsWhoTrains: Kind.RELOAD,
    plants.AdaptiveLosesItsRandomState: Kind.RELOAD,
    plants.AdaptiveForgetsItsTrials: Kind.RELOAD,
    plants.HyperbandTrainsTooLong: Kind.BUDGET,
    plants.HyperbandDrawsByItsPlaceInMemory: Kind.RANDOM,
    plants.HyperbandIsDoneTooSoon: Kind.LEFT_BEHIND,
    plants.PBTExploresByTheClock: Kind.RANDOM,
    plants.PBTForgetsTheDead: Kind.DEADLOCK,
    plants.PBTClosesTheDead: Kind.OVER_TRIAL,
    plants.PBTLosesItsRound: Kind.RELOAD,
}


@pytest.mark.parametrize("faulty", FAULTS, ids=lambda cls: cls.__name__)
def test_a_fault_in_a_built_in_method_is_found_in_a_short_story(faulty: type[SearchMethod]) -> None:
    with pytest.raises(CheckFailed) as found:
        check_search_method(faulty, cost=False, other_processes=False)
    finding = found.value.finding
    assert finding.kind is FAULTS[faulty], str(found.value)
    assert 1 <= len(finding.story) <= MOST_STEPS, str(found.value)


@pytest.mark.parametrize("right", plants.RIGHT, ids=lambda cls: cls.__name__)
def test_without_a_fault_it_passes(right: type[SearchMethod]) -> None:
    assert check_search_method(right, cost=False, other_processes=False, examples=30).worlds == 30


def test_every_planted_fault_is_checked() -> None:
    there = {cls for cls in vars(plants).values() if isinstance(cls, type) and issubclass(cls, plants.RIGHT)}
    assert there - set(plants.RIGHT) == set(FAULTS)
