"""Sums over groups that grow and shrink, against sums that are made anew."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from determined.methods.sums import Sums

sizes = st.lists(st.integers(0, 3), max_size=100)


@given(sizes, st.lists(st.tuples(st.integers(0, 99), st.sampled_from([1, 1, -1]))))
def test_sums_and_places_are_those_of_the_groups(groups: list[int], changes: list[tuple[int, int]]) -> None:
    sums = Sums(groups)
    for group, by in changes:
        if group < len(groups) and groups[group] + by >= 0:
            groups[group] += by
            sums.change(group, by)
    assert [sums.before(n) for n in range(len(groups) + 1)] == [sum(groups[:n]) for n in range(len(groups) + 1)]
    places = [(group, index) for group, size in enumerate(groups) for index in range(size)]
    assert [sums.find(n) for n in range(len(places))] == places


@pytest.mark.parametrize("groups", [[], [0], [2], [1, 0, 2, 0, 0]])
def test_what_is_past_the_end_lies_past_the_last_group(groups: list[int]) -> None:
    assert Sums(groups).find(sum(groups) + 1) == (len(groups), 1)
