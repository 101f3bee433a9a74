"""Streams of random numbers: the same label gives the same numbers, and they are spread evenly."""

from __future__ import annotations

import uuid
from collections import Counter

import pytest

from determined.methods.draws import Draws, Stream


def test_a_label_gives_the_same_numbers_each_time() -> None:
    first, again = Draws(7)("point 3"), Draws(7)("point 3")
    drawn = [first.random() for _ in range(20)]
    assert drawn == [again.random() for _ in range(20)]
    assert len(set(drawn)) == 20


@pytest.mark.parametrize("other", [Draws(7)("point 4"), Draws(8)("point 3")], ids=["label", "seed"])
def test_labels_and_seeds_keep_streams_apart(other: Stream) -> None:
    assert Draws(7)("point 3").random() != other.random()


def test_request_ids_follow_from_seed_and_label() -> None:
    labels = [(seed, label) for seed in (1, 2) for label in ("trial", "bracket 1 trial")]
    ids = [Draws(seed).request_ids(label)(n) for seed, label in labels for n in range(50)]
    assert len(set(ids)) == 200
    assert all((rid.version, rid.variant) == (4, uuid.RFC_4122) for rid in ids)
    assert Draws(1).request_ids("trial")(0) == ids[0]


@pytest.mark.parametrize("number", [0, 1, 2**62 - 1])
def test_a_request_id_ends_in_the_number_of_its_trial(number: int) -> None:
    rid = Draws(1).request_ids("trial")(number)
    assert rid.int % 2**62 == number
    assert rid.version == 4


def test_numbers_are_spread_evenly() -> None:
    stream = Draws(0)("spread")
    drawn = [stream.random() for _ in range(20_000)]
    assert all(0 <= number < 1 for number in drawn)
    tenths = Counter(int(number * 10) for number in drawn)
    # 2,000 are expected in each tenth, with a standard deviation of 42.
    assert all(1_800 < tenths[tenth] < 2_200 for tenth in range(10))


@pytest.mark.parametrize("start", [1, 7, 2**64 + 1, 10**40])
def test_whole_numbers_reach_all_of_their_range_and_nothing_else(start: int) -> None:
    stream = Draws(0)("whole")
    drawn = [stream.randrange(start) for _ in range(5_000)]
    assert all(0 <= number < start for number in drawn)
    # The lowest and the highest tenth, or each number when there are few.
    assert min(drawn) <= start // 10
    assert max(drawn) >= start - 1 - start // 10


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValueError, match="from 1 on, got 0"):
        Draws(0)("none").randrange(0)
