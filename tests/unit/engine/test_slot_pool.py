"""Who gets slots, in which order, and what those are told who wait."""

from __future__ import annotations

import pytest

from determined.domain.ids import ExperimentId, RunId, TrialId
from determined.engine.slots import MAX_SLOTLESS_RUNS, Request, SlotPool


def request(trial: int, experiment: int = 1, slots: int = 1, priority: int = 42, run: int = 1) -> Request:
    return Request(priority, ExperimentId(experiment), TrialId(trial), RunId(run), slots)


def granted(pool: SlotPool) -> list[tuple[int, tuple[int, ...]]]:
    return [(g.request.trial_id, g.slot_ids) for g in pool.grant()]


def release(pool: SlotPool, trial: int, run: int = 1) -> None:
    pool.release(TrialId(trial), RunId(run))


def withdraw(pool: SlotPool, trial: int) -> None:
    pool.withdraw(TrialId(trial), RunId(1))


def explain(pool: SlotPool, trial: int) -> str:
    return pool.explain(TrialId(trial), RunId(1))


def test_requests_are_granted_by_priority_then_experiments_in_turn_then_trial() -> None:
    pool = SlotPool(range(5))
    for r in (request(9, 2), request(8, 1), request(7, 1), request(6, 1), request(3, 5, priority=1)):
        pool.want(r)
    assert granted(pool) == [(3, (0,)), (6, (1,)), (9, (2,)), (7, (3,)), (8, (4,))]


def test_the_lowest_free_slots_are_given() -> None:
    pool = SlotPool([7, 3, 5])
    pool.want(request(1, slots=2))
    assert granted(pool) == [(1, (3, 5))]
    pool.want(request(2))
    assert granted(pool) == [(2, (7,))]
    release(pool, 1)
    pool.want(request(3, slots=2))
    assert granted(pool) == [(3, (3, 5))]


def test_a_wide_request_is_not_overtaken_by_narrow_ones() -> None:
    """It would wait for ever while narrow ones come and go."""
    pool = SlotPool(range(2))
    pool.want(request(1))
    assert granted(pool) == [(1, (0,))]
    pool.want(request(2, slots=2))
    pool.want(request(3))
    assert granted(pool) == []
    assert explain(pool, 2) == "2 slots: 1 of 2 free"
    assert explain(pool, 3) == "its turn: trials of its experiment that were created before it are served first"
    release(pool, 1)
    assert granted(pool) == [(2, (0, 1))]
    assert explain(pool, 3) == "1 slot: 0 of 2 free"


def test_a_request_that_can_never_fit_holds_nobody_back() -> None:
    pool = SlotPool(range(2))
    pool.want(request(1, slots=3))
    pool.want(request(2))
    assert granted(pool) == [(2, (0,))]
    assert "can never run here" in explain(pool, 1)
    withdraw(pool, 1)
    assert explain(pool, 1) == ""


def test_a_request_over_its_experiments_limit_holds_nobody_back() -> None:
    pool = SlotPool(range(4))
    pool.set_limit(ExperimentId(1), 1)
    for r in (request(1), request(2), request(3), request(4, 2)):
        pool.want(r)
    assert granted(pool) == [(1, (0,)), (4, (1,))]
    assert explain(pool, 2) == "its experiment's max_slots: 1 of 1 in use"
    release(pool, 1)
    assert granted(pool) == [(2, (0,))]


def test_those_a_limit_holds_back_come_up_when_one_of_them_was_withdrawn() -> None:
    """Two waited behind the limit. The first was paused away; the slot that came free was offered to it alone."""
    pool = SlotPool(range(4))
    pool.set_limit(ExperimentId(1), 1)
    for trial in (1, 2, 3):
        pool.want(request(trial))
    assert granted(pool) == [(1, (0,))]
    withdraw(pool, 2)
    release(pool, 1)
    assert granted(pool) == [(3, (0,))]


@pytest.mark.parametrize(("limit", "more"), [(None, [2, 3]), (2, [2]), (0, [])])
def test_a_limit_can_be_changed_while_requests_wait(limit: int | None, more: list[int]) -> None:
    pool = SlotPool(range(4))
    pool.set_limit(ExperimentId(1), 1)
    for trial in (1, 2, 3):
        pool.want(request(trial))
    assert granted(pool) == [(1, (0,))]
    pool.set_limit(ExperimentId(1), limit)
    assert [trial for trial, _ in granted(pool)] == more


def test_setting_the_same_limit_again_costs_nothing() -> None:
    """The limit is set again with each request; those that wait must not be looked at each time."""
    compared = 0

    class Counting(Request, frozen=True):
        def __lt__(self, other: Request) -> bool:
            nonlocal compared
            compared += 1
            return self.trial_id < other.trial_id

    pool = SlotPool(range(1))
    pool.set_limit(ExperimentId(1), 1)
    for trial in range(1, 1001):
        pool.want(Counting(42, ExperimentId(1), TrialId(trial), RunId(1), 1))
    pool.grant()
    compared = 0
    for _ in range(100):
        pool.set_limit(ExperimentId(1), 1)
        pool.grant()
    assert compared == 0


def test_runs_without_slots_have_places_of_their_own() -> None:
    """The 65th search runner waited in front of the trials that the other 64 were waiting for."""
    pool = SlotPool(range(2))
    for trial in range(1, MAX_SLOTLESS_RUNS + 3):
        pool.want(request(trial, slots=0))
    assert len(granted(pool)) == MAX_SLOTLESS_RUNS
    assert explain(pool, MAX_SLOTLESS_RUNS + 1) == "a place: 64 runs without slots is the limit"
    pool.want(request(1000, 2))
    assert granted(pool) == [(1000, (0,))]
    release(pool, 1)
    assert granted(pool) == [(MAX_SLOTLESS_RUNS + 1, ())]


def test_runs_without_slots_do_not_count_against_the_experiments_limit() -> None:
    pool = SlotPool(range(1))
    pool.set_limit(ExperimentId(1), 1)
    pool.want(request(1))
    pool.want(request(2, slots=0))
    assert granted(pool) == [(2, ()), (1, (0,))]


def test_wanting_twice_is_wanting_once() -> None:
    pool = SlotPool(range(3))
    pool.want(request(1))
    pool.want(request(1))
    assert pool.waiting == 1
    assert granted(pool) == [(1, (0,))]
    pool.want(request(1))
    assert granted(pool) == []


def test_a_withdrawn_request_is_not_granted_and_may_be_made_again() -> None:
    pool = SlotPool(range(1))
    pool.want(request(1))
    withdraw(pool, 1)
    withdraw(pool, 1)
    assert granted(pool) == []
    pool.want(request(1))
    assert granted(pool) == [(1, (0,))]


def test_unknown_runs_are_released_without_harm() -> None:
    pool = SlotPool(range(1))
    release(pool, 5)
    pool.want(request(1))
    pool.grant()
    release(pool, 1)
    release(pool, 1)
    assert pool.free == [0]


def test_a_run_that_was_found_alive_keeps_its_slots() -> None:
    pool = SlotPool(range(3))
    pool.hold(request(1, slots=2), (0, 2))
    pool.hold(request(1, slots=2), (0, 1))
    pool.want(request(2))
    assert granted(pool) == [(2, (1,))]
    release(pool, 1)
    assert pool.free == [0, 2]


def test_a_run_that_was_found_alive_waits_no_more() -> None:
    pool = SlotPool(range(3))
    pool.want(request(1))
    pool.hold(request(1), (2,))
    assert pool.waiting == 0
    assert granted(pool) == []


def test_slots_that_are_gone_or_taken_are_left_out() -> None:
    """The pool may be smaller after a restart."""
    pool = SlotPool(range(2))
    pool.hold(request(1, slots=2), (1, 7))
    pool.hold(request(2, slots=1), (1,))
    assert pool.free == [0]
    release(pool, 1)
    release(pool, 2)
    assert pool.free == [0, 1]


def test_a_run_without_slots_that_was_found_alive_keeps_its_place() -> None:
    pool = SlotPool(())
    for trial in range(1, MAX_SLOTLESS_RUNS + 1):
        pool.hold(request(trial, slots=0), ())
    pool.want(request(99, slots=0))
    assert granted(pool) == []


@pytest.mark.parametrize(
    ("holder", "waiter", "limit", "wanted"),
    [
        (request(1), None, None, False),
        (request(1), request(2), None, True),
        (request(1), request(2, 2), None, True),
        (request(1), request(2), 1, True),
        (request(1), request(2, slots=0), None, False),
        (request(1, slots=0), request(2), None, False),
        (request(1), request(2, slots=9), None, False),
    ],
)
def test_a_run_knows_whether_others_wait_for_what_it_holds(
    holder: Request, waiter: Request | None, limit: int | None, wanted: bool
) -> None:
    pool = SlotPool(range(1))
    pool.set_limit(ExperimentId(1), limit)
    pool.want(holder)
    pool.grant()
    if waiter is not None:
        pool.want(waiter)
        pool.grant()
    assert pool.others_waiting(TrialId(1), RunId(1)) is wanted
    assert not pool.others_waiting(TrialId(77), RunId(1))
    withdraw(pool, 2)
    assert not pool.others_waiting(TrialId(1), RunId(1))


def test_others_without_slots_wait_for_a_place() -> None:
    pool = SlotPool(())
    for trial in range(MAX_SLOTLESS_RUNS + 1):
        pool.want(request(trial, slots=0))
    pool.grant()
    assert pool.others_waiting(TrialId(0), RunId(1))


def test_an_experiment_that_is_over_leaves_nothing_behind() -> None:
    """A grant that came too late is given back after its experiment was forgotten."""
    pool = SlotPool(range(2))
    pool.set_limit(ExperimentId(1), 1)
    pool.want(request(1))
    pool.grant()
    pool.forget(ExperimentId(1))
    pool.forget(ExperimentId(1))
    release(pool, 1)
    assert pool.free == [0, 1]
    for trial in (2, 3):
        pool.want(request(trial))
    assert len(granted(pool)) == 2


def test_it_knows_whether_another_experiment_waits() -> None:
    pool = SlotPool([0])
    assert not pool.is_contended(ExperimentId(1))
    for experiment, trial in ((1, 1), (1, 2), (2, 3)):
        pool.want(Request(42, ExperimentId(experiment), TrialId(trial), RunId(1), 1))
    assert pool.is_contended(ExperimentId(1))
    assert pool.is_contended(ExperimentId(2))
    assert pool.is_contended(ExperimentId(3))
    pool.withdraw(TrialId(3), RunId(1))
    assert not pool.is_contended(ExperimentId(1))
    # Whoever has slots does not wait.
    assert [grant.request.trial_id for grant in pool.grant()] == [TrialId(1)]
    pool.withdraw(TrialId(2), RunId(1))
    assert not pool.is_contended(ExperimentId(2))
    # One that waits for what can never be waits, too.
    pool.want(Request(42, ExperimentId(4), TrialId(4), RunId(1), 8))
    assert pool.is_contended(ExperimentId(1))
    assert not pool.is_contended(ExperimentId(4))
    pool.hold(Request(42, ExperimentId(4), TrialId(4), RunId(1), 8), ())
    assert not pool.is_contended(ExperimentId(1))
