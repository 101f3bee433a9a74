"""Each planted fault is found, is called by its name, and is told in a short story."""

from __future__ import annotations

import pytest

from determined.testing import CheckFailed, check_search_method
from determined.workshop.check import Kind
from tests.unit.workshop.check import plants
from tests.unit.workshop.check.small_halving import SmallHalving

MOST_STEPS = 12
FAULTS: dict[type[SmallHalving], Kind] = {
    plants.ForgetsToClose: Kind.DEADLOCK,
    plants.NeverShutsDown: Kind.DEADLOCK,
    plants.IgnoresEarlyExits: Kind.DEADLOCK,
    plants.LosesTrialsWithEqualMetrics: Kind.DEADLOCK,
    plants.NeverEnds: Kind.BUDGET,
    plants.ExceedsMaxTrials: Kind.BUDGET,
    plants.LosesItsRandomState: Kind.RELOAD,
    plants.RestoresCountersWrongly: Kind.RELOAD,
    plants.SavesATrialTooFew: Kind.RELOAD,
    plants.CannotBeSaved: Kind.RELOAD,
    plants.EndsTheProcessWhenItIsLoaded: Kind.RELOAD,
    plants.EmptiesAListWhenItIsSaved: Kind.SAVING,
    plants.CountsItsSnapshots: Kind.SAVING,
    plants.PromotesTwice: Kind.LENGTH,
    plants.StaysAtItsLength: Kind.LENGTH,
    plants.GoesBackToALength: Kind.LENGTH,
    plants.ShutsDownTooEarly: Kind.LEFT_BEHIND,
    plants.DoneTooSoon: Kind.LEFT_BEHIND,
    plants.ActsOnAClosedTrial: Kind.OVER_TRIAL,
    plants.ActsOnATrialThatExited: Kind.OVER_TRIAL,
    plants.MistakesAnId: Kind.UNKNOWN_TRIAL,
    plants.ReusesARequestId: Kind.REUSED_ID,
    plants.ProgressFalls: Kind.PROGRESS_FALLS,
    plants.ProgressBeyondOne: Kind.PROGRESS_RANGE,
    plants.ProgressIsNoNumber: Kind.PROGRESS_RANGE,
    plants.CrashesOnNaN: Kind.RAISES,
    plants.CrashesWhenATrialNeverStarts: Kind.RAISES,
    plants.EndsTheProcess: Kind.RAISES,
    plants.AnswersNothing: Kind.ANSWER,
    plants.CopiesATrialThatNeverWas: Kind.ANSWER,
    plants.ChangesTheSearcherState: Kind.SEARCHER_STATE,
    plants.ClearsTheSearcherState: Kind.SEARCHER_STATE,
    plants.CountsInItsClass: Kind.SHARED,
    plants.KeepsResultsInItsModule: Kind.SHARED,
    plants.SavesAnAlias: Kind.SHARED,
    plants.HasNoSeed: Kind.RANDOM,
    plants.TakesTheOrderOfASet: Kind.RANDOM,
    plants.ScansEveryResult: Kind.COST,
    plants.AsksEveryTrial: Kind.COST,
}


@pytest.mark.parametrize("faulty", FAULTS, ids=lambda cls: cls.__name__)
def test_a_planted_fault_is_found_in_a_short_story(faulty: type[SmallHalving]) -> None:
    with pytest.raises(CheckFailed) as found:
        check_search_method(faulty, max_trials=3, other_processes=faulty is plants.TakesTheOrderOfASet)
    finding = found.value.finding
    assert finding.kind is FAULTS[faulty], str(found.value)
    assert 1 <= len(finding.story) <= MOST_STEPS, str(found.value)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    "faulty",
    [plants.CrashesOnNaN, plants.ProgressFalls, plants.ReusesARequestId, plants.ExceedsMaxTrials],
    ids=lambda cls: cls.__name__,
)
def test_a_fault_of_rare_worlds_is_found_with_other_seeds_too(faulty: type[SmallHalving], seed: int) -> None:
    with pytest.raises(CheckFailed) as found:
        check_search_method(faulty, max_trials=3, seed=seed, cost=False, other_processes=False)
    assert found.value.finding.kind is FAULTS[faulty]
    assert len(found.value.finding.story) <= MOST_STEPS, str(found.value)


def test_a_search_without_an_end_is_found_when_nothing_says_how_many_trials_it_may_make() -> None:
    with pytest.raises(CheckFailed, match=r"after 2000 events and .* it still goes on") as found:
        check_search_method(lambda: plants.NeverEnds(), cost=False, other_processes=False)
    assert found.value.finding.kind is Kind.ENDLESS


def test_every_planted_fault_is_checked() -> None:
    there = {cls for cls in vars(plants).values() if isinstance(cls, type) and issubclass(cls, SmallHalving)}
    assert there - {SmallHalving} == set(FAULTS)


def test_every_kind_of_fault_is_planted() -> None:
    assert {*FAULTS.values(), Kind.ENDLESS} == set(Kind)


def test_a_story_numbers_its_events_and_names_its_trials() -> None:
    with pytest.raises(CheckFailed) as found:
        check_search_method(plants.ForgetsToClose)
    lines = str(found.value).splitlines()
    assert lines[0] == "ForgetsToClose: deadlock"
    assert lines[1] == (
        "  1. initial_operations -> Create(a, x=0.3238), ValidateAfter(a, 1), Create(b, x=0.1508), ValidateAfter(b, 1)"
    )
    assert lines[2] == "  2. trials a and b start -> []"
    assert lines[3] == "  3. trial a validates 0.5 at 1 -> ValidateAfter(a, 2)"
    assert lines[-1].startswith("  => deadlock: nothing runs, nothing waits for a slot, and no event is unanswered")
    assert "trials a and b have completed an operation, and got neither a Close nor more work" in lines[-1]


def test_the_place_in_the_users_code_is_told() -> None:
    with pytest.raises(CheckFailed, match=r"ValueError: .*plants\.py, line \d+"):
        check_search_method(plants.CrashesOnNaN)
    with pytest.raises(CheckFailed, match=r"Most of the growth is in .*plants\.py, line \d+"):
        check_search_method(plants.ScansEveryResult, examples=1, other_processes=False)


def test_what_the_reloaded_copy_answers_instead_is_told() -> None:
    with pytest.raises(CheckFailed, match=r"answers \[Create\(c, x=.*\] instead of \[Create\(c, x="):
        check_search_method(plants.LosesItsRandomState)


def test_the_variable_that_keeps_state_is_named() -> None:
    with pytest.raises(CheckFailed, match=r"CountsInItsClass\.numbers changed while the method ran"):
        check_search_method(plants.CountsInItsClass)
    with pytest.raises(CheckFailed, match=r"plants\.RESULTS changed while the method ran"):
        check_search_method(plants.KeepsResultsInItsModule)
    assert plants.RESULTS == []
