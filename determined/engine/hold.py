"""How long a process that has no work is kept waiting for some.

Starting a process costs seconds, so a trial's request for its next operation is held while its search may still answer
the one it has just completed. It is answered at once when nothing can come of waiting.
"""

from __future__ import annotations

from dataclasses import dataclass

from determined.domain.states import TrialState
from determined.engine.trial import Trial

DECISION_WAIT_S = 60.0
"""While a search that is at work has not answered the trial's newest event."""
DETACHED_WAIT_S = 5.0
"""The same when no search runner is attached."""
CONTESTED_WAIT_S = 1.0
"""The same when none is attached and another run wants the slots."""
LINGER_S = 2.0
"""After the search has answered without work for the trial, if nobody wants its slots."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known at the moment of asking; times are of one monotonic clock, in seconds.

    Attributes:
        now, asked_at: the present, and when the process asked.
        answered: newest event that the search has answered durably; ``answered_at`` is when it did.
        attached: a search runner is there, or the search is hosted.
        contested: another run waits for what this one holds.
    """

    now: float
    asked_at: float
    answered: int
    answered_at: float
    attached: bool
    contested: bool


def hold_s(trial: Trial, at: Situation) -> float:
    """How much longer to wait for news; 0 when the process should be told now that there is no work.

    The trial has completed its operation; whoever has work is answered without asking here.
    """
    if trial.closed or trial.state is not TrialState.ACTIVE or trial.completion is None:
        return 0.0
    if trial.run is None or trial.run.preempted or trial.run.killed:
        return 0.0
    if at.answered >= trial.completion.event_id:
        until = at.now if at.contested else max(at.answered_at, at.asked_at) + LINGER_S
    elif at.attached:
        until = at.asked_at + DECISION_WAIT_S
    else:
        until = at.asked_at + (CONTESTED_WAIT_S if at.contested else DETACHED_WAIT_S)
    return max(until - at.now, 0.0)
