"""One bracket of successive halving that decides about each trial once, when it reports."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from determined.domain.operations import Operation
from determined.methods.halving import Bracket, Member, Phase, Plan
from determined.methods.halving_words import Stopped
from determined.methods.rungs import Rung


class StoppingBracket(Bracket):
    """Successive halving that judges each trial once.

    A trial goes on if its index is below ``max(floor((n + 1) / divisor), 1)`` among the n + 1 results of its rung,
    where it ranks before equal ones; else it is closed at once. What ends early is treated as in ``Bracket``.
    """

    idle_cause = "a trial was stopped"

    def judge(self, member: Member, rung: Rung, loss: float, operations: list[Operation]) -> Member | None:
        """Rank a result below the top rung, and send its trial on or close it."""
        index = rung.add(member.number, loss, ahead_of_equals=True)
        places = max(int(rung.count / self.plan.divisor), 1)
        if index < places:
            if member.phase is Phase.TRAINING:
                member.phase = Phase.WAITING
            return self.promote(member, True, index, places, operations)
        if member.phase is Phase.TRAINING:
            reason = Stopped(self.words, member.rung, index + 1, rung.count, member.metric, places)
            operations.append(self.close(member, reason))
        return None


def make_bracket(
    plan: Plan, request_id: Callable[[int], uuid.UUID], point: Callable[[int], Mapping[str, Any]]
) -> Bracket:
    """The bracket that a plan asks for; the functions give what belongs to the trial of a number."""
    return (StoppingBracket if plan.stop_once else Bracket)(plan, request_id, point)
