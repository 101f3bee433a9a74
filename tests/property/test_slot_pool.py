"""The pool of slots against one that looks at everything, each time."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from determined.domain.ids import ExperimentId, RunId, TrialId
from determined.engine.slots import Request, SlotPool

SIZE = 5
EXPERIMENTS = (1, 2, 3)


@dataclass
class Held:
    """A run that has slots."""

    request: Request
    leaving: bool = False


class Pools(RuleBasedStateMachine):
    """Requests, grants and departures in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = SlotPool(range(SIZE))
        self.waiting: list[Request] = []
        self.held: list[Held] = []
        self.priorities = dict.fromkeys(EXPERIMENTS, 42)
        self.limits: dict[int, int | None] = dict.fromkeys(EXPERIMENTS, None)
        self.trials = 0

    # The pool looks at no more requests than it has slots.
    @precondition(lambda self: len(self.waiting) < SIZE)
    @rule(experiment=st.sampled_from(EXPERIMENTS))
    def want(self, experiment: int) -> None:
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

    def used(self, experiment: int) -> int:
        return sum(h.request.slots for h in self.held if h.request.experiment_id == experiment)

    def is_over(self, request: Request, more: int = 0) -> bool:
        limit = self.limits[request.experiment_id]
        return limit is not None and self.used(request.experiment_id) + more + request.slots > limit

    @property
    def free(self) -> int:
        return SIZE - sum(h.request.slots for h in self.held)

    def settle(self) -> None:
        """What the master does after each change."""
        expected = []
        for request in sorted(self.waiting):
            if self.is_over(request):
                continue
            if request.slots > self.free:
                break
            expected.append(request)
            self.held.append(Held(request))
            self.waiting.remove(request)
        assert [grant.request for grant in self.pool.grant()] == expected
        assert self.pool.reclaim() == self.to_ask()

    def to_ask(self) -> list[Request]:
        asked: list[Request] = []
        coming = self.free + sum(h.request.slots for h in self.held if h.leaving)
        planned = dict.fromkeys(EXPERIMENTS, 0)
        for request in sorted(self.waiting):
            if self.is_over(request, planned[request.experiment_id]):
                continue
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
        return asked

    @invariant()
    def nobody_who_is_more_important_waits_while_room_could_be_made(self) -> None:
        first = min((r for r in self.waiting if not self.is_over(r)), default=None)
        if first is None or first != min(self.waiting):
            return
        staying = [h.request for h in self.held if not h.leaving and h.request.priority > first.priority]
        coming = self.free + sum(h.request.slots for h in self.held if h.leaving)
        assert coming >= first.slots or coming + sum(r.slots for r in staying) < first.slots

    @invariant()
    def the_books_agree(self) -> None:
        assert len(self.pool.free) == self.free
        assert set(self.pool.held) == {h.request.key for h in self.held}
        assert {k for k in self.pool.held if self.pool.is_leaving(*k)} == {
            h.request.key for h in self.held if h.leaving
        }


TestPools = Pools.TestCase
