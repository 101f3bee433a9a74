"""How slots are shared among experiments of the same priority."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from determined.domain.ids import ExperimentId, RunId, TrialId
from determined.engine.slots import Request, SlotPool


def request(experiment: int, trial: int, slots: int = 1, priority: int = 42) -> Request:
    return Request(priority, ExperimentId(experiment), TrialId(100 * experiment + trial), RunId(1), slots)


def pool_of(size: int, weights: dict[int, float], runs: int = 100) -> SlotPool:
    """A pool for which every one of these experiments has runs that are one slot wide."""
    pool = SlotPool(range(size))
    for experiment, weight in weights.items():
        pool.set_weight(ExperimentId(experiment), weight)
        for trial in range(runs):
            pool.want(request(experiment, trial))
    return pool


def held(pool: SlotPool) -> dict[int, int]:
    used: Counter[int] = Counter()
    for grant in pool.held.values():
        used[grant.request.experiment_id] += grant.request.slots
    return dict(sorted(used.items()))


def turn(pool: SlotPool, *leaving: Request) -> list[int]:
    """Experiments that get slots when these runs leave."""
    for one in leaving:
        pool.release(one.trial_id, one.run_id)
    return [int(grant.request.experiment_id) for grant in pool.grant()]


@pytest.mark.parametrize(
    ("size", "weights", "shares"),
    [
        (8, {1: 1, 2: 1}, {1: 4, 2: 4}),
        (8, {1: 1, 2: 3}, {1: 2, 2: 6}),
        (7, {1: 2, 2: 4, 3: 1}, {1: 2, 2: 4, 3: 1}),
        (9, {1: 0.5, 2: 0.25}, {1: 6, 2: 3}),
        (3, {1: 1000, 2: 0.001, 3: 1}, {1: 1, 2: 1, 3: 1}),
        (4, {1: 0, 2: 5}, {2: 4}),
        (4, {1: 0, 2: 0}, {1: 2, 2: 2}),
    ],
)
def test_slots_are_shared_by_weight(size: int, weights: dict[int, float], shares: dict[int, int]) -> None:
    pool = pool_of(size, weights)
    pool.grant()
    assert held(pool) == shares


def test_what_one_does_not_use_goes_to_the_others_by_their_weights() -> None:
    pool = pool_of(12, {1: 6, 2: 2, 3: 1})
    pool.set_limit(ExperimentId(1), 3)
    pool.grant()
    assert held(pool) == {1: 3, 2: 6, 3: 3}
    assert pool.explain(TrialId(199), RunId(1)) == "its experiment's max_slots: 3 of 3 in use"


def test_weight_0_gets_what_the_others_leave() -> None:
    pool = pool_of(4, {1: 0})
    pool.want(request(2, 1))
    assert turn(pool) == [2, 1, 1, 1]
    pool.want(request(2, 2))
    assert turn(pool, request(1, 0)) == [2]


def test_priority_comes_before_weight() -> None:
    pool = pool_of(2, {1: 1000})
    pool.want(request(2, 1, priority=1))
    pool.want(request(2, 2, priority=1))
    assert turn(pool) == [2, 2]


def test_one_that_came_later_catches_up_with_what_comes_free() -> None:
    """Nobody is stopped for it."""
    pool = pool_of(4, {1: 1})
    assert turn(pool) == [1, 1, 1, 1]
    for trial in range(9):
        pool.want(request(2, trial))
    assert turn(pool) == []
    assert pool.reclaim() == []
    assert turn(pool, request(1, 0)) == [2]
    assert turn(pool, request(1, 1)) == [2]
    assert turn(pool, request(1, 2)) == [1]
    assert turn(pool, request(2, 0)) == [2]


def test_a_weight_that_is_changed_counts_from_then_on() -> None:
    pool = pool_of(4, {1: 1, 2: 1})
    pool.grant()
    pool.set_weight(ExperimentId(2), 3)
    assert turn(pool, request(1, 0)) == [2]
    pool.set_weight(ExperimentId(2), 0)
    assert turn(pool, request(2, 0), request(2, 1)) == [1, 1]


def test_of_equals_the_one_that_was_served_longest_ago_is_first() -> None:
    pool = pool_of(1, {1: 1, 2: 1, 3: 1})
    order: list[int] = []
    while len(order) < 7:
        order += turn(pool, *(grant.request for grant in list(pool.held.values())))
    assert order == [1, 2, 3, 1, 2, 3, 1]


def narrow_ones_come_and_go(pool: SlotPool, rounds: int) -> Sequence[int]:
    """Experiments 1 and 2 each hold one slot, give it back and want one again; who is served."""
    served: list[int] = []
    for number in range(rounds):
        experiment = 1 + number % 2
        pool.want(request(experiment, number + 1))
        mine = [g.request for g in pool.held.values() if g.request.experiment_id == experiment]
        served += turn(pool, *mine)
    return served


def test_a_wide_run_is_served_though_narrow_ones_of_other_experiments_come_and_go() -> None:
    """An experiment that gives back its only slot holds as little as one that waits for a wide run."""
    pool = SlotPool(range(2))
    pool.want(request(1, 0))
    pool.want(request(2, 0))
    assert turn(pool) == [1, 2]
    pool.want(request(3, 1, slots=2))
    assert turn(pool) == []
    assert 3 in narrow_ones_come_and_go(pool, 4)


def test_slots_do_not_stay_empty_before_a_wide_run_for_ever() -> None:
    """It waits for a second place of four slots, and those who hold less for their weight fill up ones that come free:
    then it would neither get its place nor let others have what is free."""
    pool = pool_of(10, {2: 1}, runs=7)
    pool.want(request(1, 1, slots=4))
    assert sorted(set(turn(pool))) == [1, 2]
    assert held(pool) == {1: 4, 2: 6}
    pool.want(request(1, 2, slots=4))
    for trial in range(3):
        assert turn(pool, request(2, trial)) == []
    assert pool.explain(TrialId(206), RunId(1)) == (
        "its turn: experiment 1 is served first: free slots are kept for it until there are enough"
    )
    assert turn(pool, request(2, 3)) == [1]
    assert held(pool) == {1: 8, 2: 2}


def test_of_weight_0_a_wide_run_makes_no_claim_on_slots_that_come_free() -> None:
    pool = pool_of(2, {2: 1}, runs=1)
    pool.set_weight(ExperimentId(1), 0)
    pool.want(request(1, 1, slots=2))
    assert turn(pool) == [2]
    pool.want(request(2, 50))
    assert turn(pool) == [2]


def test_a_claim_ends_with_the_request_that_made_it() -> None:
    pool = pool_of(2, {2: 1}, runs=1)
    assert turn(pool) == [2]
    pool.want(request(1, 1, slots=2))
    assert turn(pool) == []
    pool.withdraw(TrialId(101), RunId(1))
    pool.want(request(3, 1, slots=2))
    assert turn(pool) == []
    pool.want(request(1, 2, slots=2))
    assert turn(pool, request(2, 0)) == [3]


def test_who_waits_is_told_who_is_served_first_and_why() -> None:
    pool = pool_of(4, {1: 1, 2: 3})
    pool.grant()

    def why(experiment: int, trial: int) -> str:
        return pool.explain(TrialId(100 * experiment + trial), RunId(1))

    assert held(pool) == {1: 1, 2: 3}
    assert why(1, 50) == "1 slot: 0 of 4 free"
    assert why(2, 50) == (
        "1 slot: 0 of 4 free; experiment 1 is served first: it holds 1 slot at weight 1, this one 3 slots at weight 3; "
        "of equals it was served longer ago"
    )
    pool.set_weight(ExperimentId(2), 0.5)
    assert why(2, 50) == (
        "1 slot: 0 of 4 free; experiment 1 is served first: it holds 1 slot at weight 1, this one 3 slots at weight 0.5"
    )
    pool.want(request(5, 1))
    pool.want(request(6, 1))
    assert why(6, 1).endswith(
        "it holds 0 slots at weight 1, this one 0 slots at weight 1; of equals it was submitted first"
    )
    pool.want(request(3, 1, slots=2, priority=7))
    assert why(1, 50) == "1 slot: 0 of 4 free; experiment 3 is served first: it has priority 7, this one 42"


def test_the_books_do_not_grow_with_what_was() -> None:
    pool = pool_of(2, {1: 1, 2: 2}, runs=0)
    for trial in range(3000):
        for experiment in (1, 2):
            pool.want(request(experiment, trial))
        for grant in pool.grant():
            pool.release(grant.request.trial_id, grant.request.run_id)
    assert len(pool._shares._order) < 100
