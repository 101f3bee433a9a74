"""One bracket of asynchronous successive halving: who goes on, who waits, and who is closed.

Sources: Jamieson and Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization, AISTATS 2016,
section 3 (successive halving); Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020,
Algorithm 2 (its asynchronous form).
"""

from __future__ import annotations

import enum
import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import msgspec

from determined.domain.events import ExitedReason
from determined.domain.operations import Close, Create, Operation, ValidateAfter
from determined.domain.reasons import Explanation
from determined.methods import halving_words as why
from determined.methods.arguments import check_divisor, check_rungs, exact, number_of
from determined.methods.halving_words import Words
from determined.methods.rungs import Rung, plain

Answer = tuple[list[Operation], str]
"""Operations, and why a place is free for a new trial; "" when none is."""
WORST = math.inf
_GONE = uuid.UUID(int=0)
"""Stands in for the request id of a trial that is over: no operation needs it, and making it costs time."""


def rung_lengths(max_length: int, divisor: float, num_rungs: int) -> tuple[int, ...]:
    """How long a trial trains for each rung, in all: ``max_length / divisor**k`` rounded down, at least 1.

    Raises:
        InvalidInput: the rungs are too many, or the divisor is not greater than 1.
    """
    check_divisor(divisor)
    check_rungs(num_rungs, divisor)
    base = exact(divisor)
    return tuple(max(int(max_length / base**k), 1) for k in reversed(range(num_rungs)))


@dataclass(frozen=True)
class Plan:
    """What a bracket is to do.

    Attributes:
        lengths: absolute length of each rung, lowest first.
        max_trials: how many trials it starts; those with invalid hyperparameters do not count.
        concurrent: how many it starts with, if it has places of its own.
        divisor: one trial in so many goes on.
        stop_once: each trial goes on or is closed for good as soon as it has reported.
        smaller_is_better: direction of the metric.
        number: of the bracket when there are several, from 0; else None.
    """

    lengths: tuple[int, ...]
    max_trials: int
    concurrent: int
    divisor: float = 4
    stop_once: bool = False
    smaller_is_better: bool = True
    number: int | None = None


class Phase(str, enum.Enum):
    """What a trial is doing."""

    TRAINING = "t"
    """It has work."""
    WAITING = "w"
    """It has none, and may get some when others report."""
    OVER = "o"
    """It gets none any more, but its end has not been heard of."""
    INVALID = "i"
    """The same, and its hyperparameters were invalid."""
    GONE = "g"
    """Its end has been heard of."""


class Member(msgspec.Struct, gc=False):
    """A trial of a bracket.

    Attributes:
        bracket: its number, from 0.
        rung: the rung that it trains for, or the highest that it has brought a result to.
        metric: the newest that it reported, as it reported it.
    """

    number: int
    request_id: uuid.UUID
    bracket: int
    rung: int = 0
    phase: Phase = Phase.TRAINING
    metric: float = math.nan


class Bracket:
    """Successive halving where a trial is promoted as soon as there is reason to, and may be promoted late.

    With n results before it in its rung, a result is promoted if its index is below ``floor((n + 1) / divisor)``. If it
    is not, and that number has just grown, the trial that the new place belongs to is promoted, unless it was before.
    A trial that ends early counts as having brought the worst possible result to the rung that it was training for, and
    to the next when it is promoted nevertheless, and so forth; one that had no work keeps its results. A trial with
    invalid hyperparameters is taken out of all rungs and replaced.

    Attributes:
        idle_cause: why a place is free after a result that leads to nothing.

    State: every trial's rung, phase and newest metric; every rung's ranked results; how many trials were invalid and
    how many others have ended.
    Cost: that of a result in its rung per event (see ``Rung``), and once the same for each trial that is closed when
    its rung is complete; O(trials) for a snapshot.
    """

    idle_cause = "nothing to promote"

    def __init__(
        self, plan: Plan, request_id: Callable[[int], uuid.UUID], point: Callable[[int], Mapping[str, Any]]
    ) -> None:
        self.plan = plan
        self.request_id = request_id
        self.point = point
        self.words = Words(plan.divisor, plan.number, plan.lengths, plan.max_trials)
        self.sign = 1.0 if plan.smaller_is_better else -1.0
        self.rungs = [Rung(length) for length in plan.lengths]
        self.top = len(plan.lengths) - 1
        self.members: list[Member] = []
        self.invalid = 0
        self.ended = 0
        self._first = self.words.first_length()

    # What happens to it

    @property
    def started(self) -> int:
        """How many trials were started; those with invalid hyperparameters do not count."""
        return len(self.members) - self.invalid

    @property
    def wants_more(self) -> bool:
        """Whether there are trials left to start."""
        return self.started < self.plan.max_trials

    def start(self, cause: str) -> list[Operation]:
        """A new trial in the lowest rung."""
        number = len(self.members)
        member = Member(number, self.request_id(number), self.plan.number or 0)
        self.members.append(member)
        self.rungs[0].training += 1
        reason = self.words.starts(cause, self.started)
        return [
            Create(member.request_id, self.point(number), reason=reason),
            ValidateAfter(member.request_id, self.rungs[0].length, self._first),
        ]

    def completed(self, member: Member, metric: Any) -> Answer:
        """A trial has reported.

        Raises:
            InvalidInput: the metric is no number.
        """
        if member.phase is not Phase.TRAINING:
            return [], ""
        member.metric = number_of(metric)
        loss = self.sign * member.metric
        return self._take(member, WORST if math.isnan(loss) else loss)

    def exited(self, member: Member, why: ExitedReason) -> Answer:
        """A trial ended early."""
        before, member.phase = member.phase, Phase.OVER
        if why is ExitedReason.INVALID_HP:
            return self._replace(member, before)
        self.rungs[member.rung].waiting.discard(member.number)
        return self._take(member, WORST) if before is Phase.TRAINING else ([], "")

    def closed(self, member: Member) -> Answer:
        """A trial is over. If it still had work, somebody else must have closed it, and it counts as ended early."""
        answer = self.exited(member, ExitedReason.USER_CANCELED) if member.phase in _OPEN else ([], "")
        self.ended += member.phase is not Phase.INVALID
        member.phase = Phase.GONE
        return answer

    @property
    def progress(self) -> float:
        """Results in the lowest rung over 1.2 times the trials; once all are in, at least the share that has ended.

        It falls when a trial that has brought results turns out to have invalid hyperparameters, and only then.
        """
        results, trials = self.rungs[0].count, self.plan.max_trials
        progress = results / (1.2 * trials)
        return max(progress, self.ended / trials) if results == trials else progress

    # How it decides

    def _take(self, member: Member, loss: float) -> Answer:
        operations: list[Operation] = []
        climber: Member | None = member
        cause = self._cause(member)
        while climber is not None:
            climber = self._settle(climber, loss, operations)
            loss = WORST
        if operations and any(type(op) is ValidateAfter for op in operations):
            cause = ""
        if self.rungs[0].count == self.plan.max_trials:
            self._close_complete_rungs(operations)
        return operations, cause

    def _cause(self, member: Member) -> str:
        if member.phase is Phase.OVER:
            return "a trial ended early"
        return "a trial reached the full length" if member.rung == self.top else self.idle_cause

    def _settle(self, member: Member, loss: float, operations: list[Operation]) -> Member | None:
        """Rank a result; the trial that counts as ended early in the next rung because of it, if there is one."""
        rung = self.rungs[member.rung]
        rung.training -= 1
        if member.rung < self.top:
            return self.judge(member, rung, loss, operations)
        index = rung.add(member.number, loss)
        if member.phase is Phase.TRAINING:
            reason = why.FullLength(self.words, member.rung, index + 1, rung.count, member.metric)
            operations.append(self.close(member, reason))
        return None

    def judge(self, member: Member, rung: Rung, loss: float, operations: list[Operation]) -> Member | None:
        """Rank a result below the top rung and promote who is to be; a trial that is promoted although it is over."""
        divisor = self.plan.divisor
        before = int(rung.count / divisor)
        index = rung.add(member.number, loss)
        places = int(rung.count / divisor)
        if member.phase is Phase.TRAINING:
            member.phase = Phase.WAITING
            rung.waiting.add(member.number)
        if index < places:
            return self.promote(member, True, index, places, operations)
        if places == before:
            return None
        other = self.members[rung.at(before)]
        if other.rung > member.rung:
            return None
        return self.promote(other, False, before, places, operations)

    def promote(
        self, member: Member, is_own: bool, index: int, places: int, operations: list[Operation]
    ) -> Member | None:
        """Send a trial one rung up; the trial itself if it is over and cannot train for it."""
        rung = self.rungs[member.rung]
        rung.waiting.discard(member.number)
        member.rung += 1
        upper = self.rungs[member.rung]
        upper.training += 1
        if member.phase is not Phase.WAITING:
            return member
        member.phase = Phase.TRAINING
        words = why.GoesOn if is_own else why.GoesOnLate
        reason = words(self.words, member.rung - 1, index + 1, rung.count, member.metric, places)
        operations.append(ValidateAfter(member.request_id, upper.length, reason))
        return None

    def _close_complete_rungs(self, operations: list[Operation]) -> None:
        """Close whoever waits in a rung that no result can come to any more."""
        for number, rung in enumerate(self.rungs):
            if rung.training:
                return
            places = int(rung.count / self.plan.divisor)
            # Oldest first: trials that are near each other in memory are closed one after the other.
            ranked = sorted(rung.ranks(rung.waiting), key=itemgetter(1))
            rung.waiting.clear()
            among = rung.count
            for index, trial in ranked:
                reason = why.Left(self.words, number, index + 1, among, places)
                operations.append(self.close(self.members[trial], reason))

    def close(self, member: Member, reason: Explanation) -> Close:
        """No more work for a trial."""
        member.phase = Phase.OVER
        return Close(member.request_id, reason)

    def _replace(self, member: Member, before: Phase) -> Answer:
        member.phase = Phase.INVALID
        self.invalid += 1
        for rung in self.rungs[: member.rung + 1]:
            rung.remove(member.number)
        self.rungs[member.rung].training -= before is Phase.TRAINING
        close = Close(member.request_id, "its hyperparameters are invalid")
        return [close, *self.start("replaces a trial with invalid hyperparameters")], ""

    # Its state

    def summary(self) -> dict[str, Any]:
        """Trials so far, and the rungs with their results, who waits in them and who is under way to them."""
        plan = self.plan
        return {
            "started": self.started,
            "of": plan.max_trials,
            "ended": self.ended,
            "divisor": plan.divisor,
            "stopOnce": plan.stop_once,
            "rungs": [
                {"length": r.length, "results": r.count, "waiting": len(r.waiting), "training": r.training}
                for r in self.rungs
            ],
        }

    def snapshot(self) -> dict[str, Any]:
        """Trials in the order of their numbers, and the results of each rung, best first."""
        return {
            "trials": [(m.rung, m.phase.value, plain(m.metric)) for m in self.members],
            "rungs": [rung.results() for rung in self.rungs],
            "invalid": self.invalid,
            "ended": self.ended,
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take up what ``snapshot`` gave, in a new bracket with the same plan."""
        self.invalid, self.ended = saved["invalid"], saved["ended"]
        for rung, results in zip(self.rungs, saved["rungs"], strict=True):
            rung.restore(results)
        for number, (place, phase, metric) in enumerate(saved["trials"]):
            self._restore_member(number, place, Phase(phase), float(metric))

    def _restore_member(self, number: int, place: int, phase: Phase, metric: float) -> None:
        request_id = _GONE if phase is Phase.GONE else self.request_id(number)
        self.members.append(Member(number, request_id, self.plan.number or 0, place, phase, metric))
        if phase is Phase.TRAINING:
            self.rungs[place].training += 1
        elif phase is Phase.WAITING:
            self.rungs[place].waiting.add(number)


_OPEN = (Phase.TRAINING, Phase.WAITING)
