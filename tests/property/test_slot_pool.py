"""The pool of slots against one that looks at everything, each time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from determined.domain.ids import ExperimentId, RunId, TrialId
from determined.engine.slots import Request, SlotPool

SIZE = 5
EXPERIMENTS = (1, 2, 3)
WEIGHTS = st.sampled_from([0, 0.5, 1, 3])


@dataclass
class Held:
    """A run that has slots."""

    request: Request
    leaving: bool = False


@dataclass
class Claim:
    """What decides whose turn it is among experiments of one priority."""

    weight: float = 1
    served: int = 0
    is_next: bool = False

    def place(self, used: int) -> tuple[bool, float, int]:
        return not self.is_next, used / self.weight if self.weight else math.inf, self.served


class Pools(RuleBasedStateMachine):
    """Requests, grants and departures in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = SlotPool(range(SIZE))
        self.waiting: list[Request] = []
        self.held: list[Held] = []
        self.priorities = dict.fromkeys(EXPERIMENTS, 42)
        self.limits: dict[int, int | None] = dict.fromkeys(EXPERIMENTS, None)
        self.claims = {experiment: Claim() for experiment in EXPERIMENTS}
        self.served = 0
        self.trials = 0

    @rule(experiments=st.lists(st.sampled_from(EXPERIMENTS), min_size=1, max_size=4))
    def want(self, experiments: list[int]) -> None:
        for experiment in experiments:
            self.trials += 1
            # All requests of an experiment are equally wide.
            request = Request(
                self.priorities[experiment], ExperimentId(experiment), TrialId(self.trials), RunId(1), experiment
            )
            self.pool.want(request)
            self.waiting.append(request)
        self.settle()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.held))
        self.held.remove(one)
        self.pool.release(one.request.trial_id, one.request.run_id)
        self.settle()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def pause(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.held))
        one.leaving = True
        self.pool.leaves(one.request.trial_id, one.request.run_id)
        self.settle()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(one)
        self.pool.withdraw(one.trial_id, one.run_id)
        self.settle()

    @rule(experiment=st.sampled_from(EXPERIMENTS), priority=st.sampled_from([1, 42, 50]))
    def set_priority(self, experiment: int, priority: int) -> None:
        if self.priorities[experiment] != priority:
            self.claims[experiment].is_next = False

        def changed(r: Request) -> Request:
            same = r.experiment_id != experiment
            return r if same else Request(priority, r.experiment_id, r.trial_id, r.run_id, r.slots)

        self.priorities[experiment] = priority
        self.waiting = [changed(r) for r in self.waiting]
        self.held = [Held(changed(h.request), h.leaving) for h in self.held]
        self.pool.set_priority(ExperimentId(experiment), priority)
        self.settle()

    @rule(experiment=st.sampled_from(EXPERIMENTS), limit=st.sampled_from([None, 1, 3, 4]))
    def set_limit(self, experiment: int, limit: int | None) -> None:
        self.limits[experiment] = limit
        self.pool.set_limit(ExperimentId(experiment), limit)
        self.settle()

    @rule(experiment=st.sampled_from(EXPERIMENTS), weight=WEIGHTS)
    def set_weight(self, experiment: int, weight: float) -> None:
        claim = self.claims[experiment]
        claim.weight, claim.is_next = weight, claim.is_next and weight > 0
        self.pool.set_weight(ExperimentId(experiment), weight)
        self.settle()

    def used(self, experiment: int) -> int:
        return sum(h.request.slots for h in self.held if h.request.experiment_id == experiment)

    def is_over(self, request: Request, more: int = 0) -> bool:
        limit = self.limits[request.experiment_id]
        return limit is not None and self.used(request.experiment_id) + more + request.slots > limit

    @property
    def free(self) -> int:
        return SIZE - sum(h.request.slots for h in self.held)

    def forget_claims_of_those_who_do_not_wait(self) -> None:
        for experiment, claim in self.claims.items():
            claim.is_next = claim.is_next and any(r.experiment_id == experiment for r in self.waiting)

    def first(
        self, waiting: list[Request], claims: dict[int, Claim], planned: dict[int, int] | None = None
    ) -> Request | None:
        """Whose turn it is, had the planned slots been given."""
        planned = planned or dict.fromkeys(EXPERIMENTS, 0)

        def place(r: Request) -> tuple[object, ...]:
            used = self.used(r.experiment_id) + planned[r.experiment_id]
            return r.priority, *claims[r.experiment_id].place(used), r

        return min((r for r in waiting if not self.is_over(r, planned[r.experiment_id])), key=place, default=None)

    def settle(self) -> None:
        """What the master does after each change."""
        self.forget_claims_of_those_who_do_not_wait()
        expected = []
        while (request := self.first(self.waiting, self.claims)) is not None:
            claim = self.claims[request.experiment_id]
            if request.slots > self.free:
                claim.is_next = claim.weight > 0 and (claim.is_next or self.free > 0)
                break
            expected.append(request)
            self.held.append(Held(request))
            self.waiting.remove(request)
            self.served += 1
            claim.served, claim.is_next = self.served, False
        assert [grant.request for grant in self.pool.grant()] == expected
        assert self.pool.reclaim() == self.to_ask()

    def to_ask(self) -> list[Request]:
        asked: list[Request] = []
        coming = self.free + sum(h.request.slots for h in self.held if h.leaving)
        planned = dict.fromkeys(EXPERIMENTS, 0)
        waiting = list(self.waiting)
        claims = {experiment: replace(claim) for experiment, claim in self.claims.items()}
        served = self.served
        while (request := self.first(waiting, claims, planned)) is not None:
            lesser = [h for h in self.held if not h.leaving and h.request.priority > request.priority]
            if coming + sum(h.request.slots for h in lesser) < request.slots:
                break
            for victim in sorted(lesser, key=lambda h: h.request, reverse=True):
                if coming >= request.slots:
                    break
                victim.leaving = True
                coming += victim.request.slots
                asked.append(victim.request)
            coming -= request.slots
            planned[request.experiment_id] += request.slots
            waiting.remove(request)
            served += 1
            claims[request.experiment_id] = replace(claims[request.experiment_id], served=served, is_next=False)
        return asked

    @invariant()
    def nobody_who_is_more_important_waits_while_room_could_be_made(self) -> None:
        first = self.first(self.waiting, self.claims)
        if first is None:
            return
        staying = [h.request for h in self.held if not h.leaving and h.request.priority > first.priority]
        coming = self.free + sum(h.request.slots for h in self.held if h.leaving)
        assert coming >= first.slots or coming + sum(r.slots for r in staying) < first.slots

    @invariant()
    def who_waits_is_told_what_for(self) -> None:
        for request in self.waiting:
            assert self.pool.explain(*request.key)

    @invariant()
    def the_books_agree(self) -> None:
        assert len(self.pool.free) == self.free
        assert set(self.pool.held) == {h.request.key for h in self.held}
        assert {k for k in self.pool.held if self.pool.is_leaving(*k)} == {
            h.request.key for h in self.held if h.leaving
        }


TestPools = Pools.TestCase


@given(
    size=st.integers(1, 40),
    width=st.integers(1, 3),
    claims=st.lists(st.tuples(st.floats(0.01, 100), st.integers(0, 50)), min_size=1, max_size=6),
)
def test_free_slots_are_shared_by_weight_to_the_width_of_a_run(
    size: int, width: int, claims: list[tuple[float, int]]
) -> None:
    """Max-min: nobody who still waits holds less for its weight than any other held before it got its last run."""
    pool = SlotPool(range(size))
    trial = 0
    for experiment, (weight, runs) in enumerate(claims, 1):
        pool.set_weight(ExperimentId(experiment), weight)
        for _ in range(runs):
            trial += 1
            pool.want(Request(42, ExperimentId(experiment), TrialId(trial), RunId(1), width))
    used = [0] * len(claims)
    for grant in pool.grant():
        used[grant.request.experiment_id - 1] += width
    wanted = sum(runs * width for _, runs in claims)
    assert sum(used) == min(size // width * width, wanted)
    for mine, (weight, runs) in zip(used, claims, strict=True):
        if mine < runs * width:
            for theirs, (other, _) in zip(used, claims, strict=True):
                assert not theirs or (theirs - width) / other <= mine / weight
