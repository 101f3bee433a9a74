"""What is known of a method before it is played: its limits, and how it is made for another number of trials."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from determined.errors import InvalidInput
from determined.searcher import SearchMethod
from determined.testing import CheckFailed, check_search_method
from determined.workshop.check import Kind
from determined.workshop.check.target import Target, target_of
from tests.unit.workshop.check.small_halving import LENGTHS, SmallHalving


class Longer(SmallHalving):
    """Trains to the second of its lengths, whatever it says of the longest."""

    def __init__(self, max_length: int = LENGTHS[0]) -> None:
        super().__init__()


class Changed(SmallHalving):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


def trials_of(target: Target, number: int, sized: str | None = None) -> int:
    """How many trials the method makes that is made for so many."""
    make = target.sized(sized)
    assert make is not None
    method = make(number)
    assert isinstance(method, SmallHalving)
    return method.max_trials


def test_the_default_of_an_argument_is_a_limit() -> None:
    with pytest.raises(CheckFailed, match=r"asks for more than max_length, which is 1") as found:
        check_search_method(Longer, cost=False, other_processes=False)
    assert found.value.finding.kind is Kind.BUDGET
    check_search_method(Longer, args={"max_length": LENGTHS[1]}, cost=False, other_processes=False)
    check_search_method(Longer, max_length=LENGTHS[1], cost=False, other_processes=False)


def test_numbers_come_from_arguments_before_they_come_from_defaults() -> None:
    name = f"{__name__}:Longer"
    assert target_of(Longer, None, None).number("max_length") == 1
    assert target_of(name, None, None).number("max_length") == 1
    assert target_of(name, {"max_length": 5}, None).number("max_length") == 5
    assert target_of(functools.partial(Longer, max_length=6), None, None).number("max_length") == 6
    assert target_of(Longer, None, None).number("max_trials") is None


def test_a_default_that_was_not_used_is_no_limit() -> None:
    assert target_of(functools.partial(SmallHalving, 7), None, None).number("max_trials") is None
    # It may hand on another number than the default of its base.
    assert target_of(Changed, None, None).number("max_trials") is None


def test_a_class_that_hands_its_arguments_on_has_those_of_its_base() -> None:
    assert trials_of(target_of(Changed, None, None), 9) == 9
    assert trials_of(target_of(f"{__name__}:Changed", {"max_trials": 4}, None), 9) == 9


def test_an_argument_that_was_given_may_say_how_many() -> None:
    def make(**kwargs: Any) -> SearchMethod:
        return SmallHalving(**kwargs)

    assert target_of(make, None, None).sized() is None
    assert trials_of(target_of(make, {"max_trials": 4}, None), 9) == 9
    assert trials_of(target_of(make, None, None), 9, "max_trials") == 9


def test_the_name_of_an_argument_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"sized is 'trials', but SmallHalving has no .* \(it has: max_trials, con"):
        target_of(SmallHalving, None, None).sized("trials")
    with pytest.raises(InvalidInput, match="sized is 'trials'"):
        check_search_method(SmallHalving, sized="trials")


def test_what_has_no_arguments_is_told_to_get_one() -> None:
    assert target_of(lambda: SmallHalving(), None, None).why_one_size == (
        "<lambda> has no arguments, so none says how many trials it makes; give it one"
    )
