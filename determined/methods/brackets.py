"""What the methods of the successive-halving family share: brackets side by side, and each event to the right one."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from determined.domain.events import ExitedReason
from determined.domain.hparams import sample
from determined.domain.operations import Operation
from determined.domain.search_method import SearcherState, SearchMethod
from determined.domain.space import SpaceLike, as_space
from determined.methods.draws import Draws
from determined.methods.halving import Answer, Bracket, Member, Phase, Plan
from determined.methods.halving_stopping import make_bracket


class BracketSearch(SearchMethod):
    """Runs one or several brackets; a trial belongs to the bracket that started it.

    State: that of the brackets; see ``Bracket``.
    Cost: that of a bracket, plus O(brackets) per event for the progress, which is the mean of theirs.
    """

    auto_shutdown = True
    deterministic = True

    def __init__(self, space: SpaceLike, plans: Sequence[Plan], seed: int) -> None:
        self.space = as_space(space)
        self.draws = Draws(seed)
        self.brackets = [self._bracket(plan) for plan in plans]
        self.members: dict[uuid.UUID, Member] = {}
        """Trials whose end has not been heard of."""

    def _bracket(self, plan: Plan) -> Bracket:
        prefix = "" if plan.number is None else f"bracket {plan.number} "
        return make_bracket(plan, self.draws.request_ids(f"{prefix}trial"), self._points(prefix))

    def _points(self, prefix: str) -> Callable[[int], Mapping[str, Any]]:
        return lambda number: sample(self.space, self.draws(f"{prefix}point {number}"))

    def next_bracket(self, after: Bracket) -> Bracket | None:
        """Which bracket gets the place that has become free in one of them; None if no trial is left to start."""
        return after if after.wants_more else None

    def initial_operations(self, state: SearcherState) -> list[Operation]:
        """The first trials of each bracket."""
        operations: list[Operation] = []
        for bracket in self.brackets:
            concurrent = min(bracket.plan.concurrent, bracket.plan.max_trials)
            for _ in range(concurrent):
                operations += self._start(bracket, f"{concurrent} at a time")
        return operations

    def on_trial_created(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        """Nothing to do."""
        return []

    def on_validation_completed(
        self, state: SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[Operation]:
        """A promotion, a new trial, or nothing.

        Raises:
            InvalidInput: the metric is no number.
        """
        member = self.members.get(request_id)
        if member is None:
            return []
        bracket = self.brackets[member.bracket]
        return self._fill(bracket, bracket.completed(member, metric))

    def on_trial_exited_early(
        self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason
    ) -> list[Operation]:
        """The same: the trial counts as the worst, or, with invalid hyperparameters, not at all."""
        member = self.members.get(request_id)
        if member is None:
            return []
        bracket = self.brackets[member.bracket]
        first = len(bracket.members)
        answer = bracket.exited(member, exited_reason)
        self.members.update((new.request_id, new) for new in bracket.members[first:])
        return self._fill(bracket, answer)

    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        """The last that is heard of a trial."""
        member = self.members.pop(request_id, None)
        if member is None:
            return []
        bracket = self.brackets[member.bracket]
        return self._fill(bracket, bracket.closed(member))

    def progress(self, state: SearcherState) -> float:
        """The mean of the brackets' progress."""
        brackets = self.brackets
        if len(brackets) == 1:
            return brackets[0].progress
        # It is asked for with each report: a loop takes half the time of a sum over a generator.
        progress = 0.0
        for bracket in brackets:
            progress += bracket.progress
        return progress / len(brackets)

    def summary(self) -> Mapping[str, Any]:
        """Of each bracket how many trials it has started and how full its rungs are."""
        return {"brackets": [bracket.summary() for bracket in self.brackets]}

    def snapshot(self) -> Mapping[str, Any]:
        """The state of each bracket."""
        return {"brackets": [bracket.snapshot() for bracket in self.brackets]}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take up what ``snapshot`` gave."""
        for bracket, state in zip(self.brackets, saved["brackets"], strict=True):
            bracket.restore(state)
            self.members.update((m.request_id, m) for m in bracket.members if m.phase is not Phase.GONE)

    def _fill(self, bracket: Bracket, answer: Answer) -> list[Operation]:
        operations, cause = answer
        chosen = self.next_bracket(bracket) if cause else None
        return operations if chosen is None else operations + self._start(chosen, cause)

    def _start(self, bracket: Bracket, cause: str) -> list[Operation]:
        operations = bracket.start(cause)
        member = bracket.members[-1]
        self.members[member.request_id] = member
        return operations


class PooledBracketSearch(BracketSearch):
    """Brackets that share one pool of places: a free place goes to the bracket that is furthest behind its share.

    So the trials are divided in the same proportion at any time, also when a search is cut short, and a bracket that is
    complete leaves its places to the others.

    State and cost: those of ``BracketSearch``, plus O(brackets) for each trial that is started.

    Args:
        space: what points are drawn from.
        plans: of the brackets; how many trials each starts with does not count here.
        concurrent: how many trials are started at first, if there are so many.
        seed: of the draws.
    """

    def __init__(self, space: SpaceLike, plans: Sequence[Plan], concurrent: int, seed: int) -> None:
        super().__init__(space, plans, seed)
        self.concurrent = min(concurrent, sum(plan.max_trials for plan in plans))

    def initial_operations(self, state: SearcherState) -> list[Operation]:
        """The first trials, divided like all others."""
        operations: list[Operation] = []
        for _ in range(self.concurrent):
            operations += self._start(self._furthest_behind(), f"{self.concurrent} at a time")
        return operations

    def next_bracket(self, after: Bracket) -> Bracket | None:
        """The bracket that is furthest behind its share, wherever the place became free."""
        return self._furthest_behind() if any(bracket.wants_more for bracket in self.brackets) else None

    def _furthest_behind(self) -> Bracket:
        open_ones = (bracket for bracket in self.brackets if bracket.wants_more)
        return min(open_ones, key=lambda bracket: (bracket.started + 0.5) / bracket.plan.max_trials)
