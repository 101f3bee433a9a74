"""Who is asked to make room for whom."""

from __future__ import annotations

from determined.domain.ids import ExperimentId, RunId, TrialId
from determined.engine.slots import Request, SlotPool


def request(trial: int, priority: int = 42, slots: int = 1, experiment: int = 0) -> Request:
    return Request(priority, ExperimentId(experiment or priority), TrialId(trial), RunId(1), slots)


def running(size: int, *requests: Request) -> SlotPool:
    """A pool whose slots these runs hold."""
    pool = SlotPool(range(size))
    for wanted in requests:
        pool.want(wanted)
    assert len(pool.grant()) == len(requests)
    return pool


def asked(pool: SlotPool, *wanted: Request) -> list[int]:
    """Trials that are asked to leave when these come to wait."""
    for one in wanted:
        pool.want(one)
    pool.grant()
    return [int(victim.trial_id) for victim in pool.reclaim()]


def release(pool: SlotPool, trial: int) -> list[int]:
    pool.release(TrialId(trial), RunId(1))
    return [int(grant.request.trial_id) for grant in pool.grant()]


def test_the_least_important_makes_room_and_of_these_the_newest() -> None:
    pool = running(4, request(1, 50), request(2, 60), request(3, 60), request(4, 10))
    assert asked(pool, request(9, 20)) == [3]
    assert asked(pool, request(10, 20)) == [2]
    assert asked(pool, request(11, 20)) == [1]
    assert asked(pool, request(12, 20)) == []


def test_nobody_makes_room_for_its_equal_or_while_slots_are_free() -> None:
    assert asked(running(1, request(1, 42)), request(2, 42)) == []
    assert asked(running(1, request(1, 42)), request(2, 43)) == []
    assert asked(running(2, request(1, 42)), request(2, 1)) == []


def test_nobody_is_asked_twice_and_who_is_asked_is_counted_on() -> None:
    pool = running(2, request(1, 50), request(2, 50))
    assert asked(pool, request(9, 1)) == [2]
    assert pool.is_leaving(TrialId(2), RunId(1))
    assert pool.reclaim() == []
    assert pool.explain(TrialId(9), RunId(1)) == "1 slot: 0 of 2 free, 1 when runs leave that were asked to"
    assert release(pool, 2) == [9]
    assert pool.reclaim() == []


def test_a_run_that_leaves_for_another_reason_is_counted_on_too() -> None:
    """Its experiment was paused; its slot comes free in any case."""
    pool = running(2, request(1, 50), request(2, 50))
    pool.leaves(TrialId(1), RunId(1))
    assert asked(pool, request(9, 1)) == []
    assert asked(pool, request(10, 1)) == [2]


def test_a_wide_request_takes_as_many_as_it_needs_and_none_in_vain() -> None:
    pool = running(4, request(1, 1, 2), request(2, 50), request(3, 50))
    assert asked(pool, request(9, 10, 3)) == []
    pool.withdraw(TrialId(9), RunId(1))
    assert asked(pool, request(10, 10, 2)) == [3, 2]


def test_a_limit_of_the_experiment_holds_when_room_is_made() -> None:
    pool = running(3, request(1, 50), request(2, 50), request(3, 50))
    pool.set_limit(ExperimentId(10), 2)
    assert asked(pool, *(request(trial, 10) for trial in (4, 5, 6))) == [3, 2]


def test_the_slot_goes_to_whom_room_was_made_for_and_not_back() -> None:
    pool = running(1, request(1, 50))
    assert asked(pool, request(9, 1)) == [1]
    pool.release(TrialId(1), RunId(1))
    pool.want(Request(50, ExperimentId(50), TrialId(1), RunId(2), 1))
    assert [int(grant.request.trial_id) for grant in pool.grant()] == [9]


def test_another_priority_counts_for_who_waits_and_for_who_runs() -> None:
    pool = running(1, request(1, 42))
    assert asked(pool, request(2, 42, experiment=7)) == []
    pool.set_priority(ExperimentId(7), 41)
    assert asked(pool) == [1]
    pool = running(2, request(1, 42), request(2, 40, experiment=8))
    assert asked(pool, request(3, 42, experiment=9), request(4, 43, experiment=10)) == []
    pool.set_priority(ExperimentId(8), 60)
    assert asked(pool) == [2]
    pool.set_priority(ExperimentId(10), 1)
    assert release(pool, 2) == [4]


def test_a_run_that_holds_a_place_without_slots_is_left_alone() -> None:
    assert asked(running(1, request(1, 50, 0), request(2, 1)), request(9, 2)) == []


def test_the_books_do_not_grow_with_runs_that_were() -> None:
    pool = SlotPool(range(2))
    for trial in range(1, 2000):
        pool.want(request(trial))
        pool.grant()
        release(pool, trial)
    assert len(pool._holders._order) < 100
