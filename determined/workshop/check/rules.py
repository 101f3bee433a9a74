"""What an answer must not hold, judged by what the method could know when it gave it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from determined.domain.events import (
    ExitCause,
    SearcherEvent,
    TrialClosed,
    TrialExitedEarly,
    ValidationCompleted,
)
from determined.workshop.check.answers import Answer, Names, Order
from determined.workshop.check.findings import Fault, Kind

_ROUNDING = 1e-9
_LENGTHS = "Lengths count from the start of a trial, so each must be greater than the last."


@dataclass(frozen=True, slots=True)
class Budget:
    """What a search may use; None for no limit.

    Attributes:
        max_trials: trials, without those whose hyperparameters were invalid.
        max_length: the longest that one trial may train.
        max_units: what all trials together may train.
    """

    max_trials: int | None = None
    max_length: int | None = None
    max_units: int | None = None


NO_LIMITS = Budget()


@dataclass(slots=True)
class Known:
    """What the method knows of a trial: what it did itself, and what it was told.

    Attributes:
        asked: the length of the operation that was not heard to be completed; None for none.
        completed: the longest completed length.
        longest: the longest length that was ever asked for.
    """

    asked: int | None = None
    completed: int = 0
    longest: int = 0
    is_closed: bool = False
    has_exited: bool = False
    is_over: bool = False

    @property
    def is_open(self) -> bool:
        """The method has to do something about it still."""
        return not (self.is_closed or self.has_exited or self.is_over)


class Judge:
    """Follows one method through one search.

    Attributes:
        trials: what is known of each, by name.
        has_shut_down: the method has ended the search; nothing is asked of it from then on.
        grows: a trial was asked for more than it had completed.
        repeats: the first operation that asks for a length when it is completed; "" when there is none.
        repeated: what is wrong with the first of them that is for more than one unit, should no trial ever grow.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.trials: dict[str, Known] = {}
        self.has_shut_down = False
        self.grows = False
        self.repeats = ""
        self.repeated = ""
        self._invalid: set[str] = set()
        self._units = 0
        self._open = 0
        self._progress = 0.0

    def hear(self, event: SearcherEvent, names: Names) -> None:
        """Take note of what the method is told."""
        if isinstance(event, ValidationCompleted):
            trial = self.trials[names.of(event.request_id)]
            trial.completed = max(trial.completed, event.length)
            if trial.asked == event.length:
                trial.asked = None
        elif isinstance(event, (TrialExitedEarly, TrialClosed)):
            name = names.of(event.request_id)
            trial = self.trials[name]
            self._open -= trial.is_open
            trial.asked = None
            trial.is_over = isinstance(event, TrialClosed)
            trial.has_exited = trial.has_exited or not trial.is_over
            if isinstance(event, TrialExitedEarly) and event.cause is ExitCause.INVALID_HP:
                self._invalid.add(name)

    def check(self, event: SearcherEvent, answer: Answer, names: Names) -> None:
        """Judge an answer.

        Raises:
            Fault: the first thing that is wrong with it.
        """
        for order in answer.orders:
            if self.has_shut_down:
                break
            _ORDERS[order.verb](self, order, event, names)
        if answer.progress is not None:
            self._check_progress(answer.progress, event, names)

    def left_behind(self) -> Iterator[str]:
        """Trials that the method has neither closed nor heard to be over."""
        if self._open:
            yield from (name for name, trial in self.trials.items() if trial.is_open)

    def _create(self, order: Order, event: SearcherEvent, names: Names) -> None:
        if order.known:
            raise Fault(
                Kind.REUSED_ID,
                f"Create uses the request id of trial {order.trial} again; the master refuses the whole answer. "
                "Make a fresh id for each Create, and save whatever it is made from.",
            )
        self.trials[order.trial] = Known()
        self._open += 1
        limit = self.budget.max_trials
        counted = len(self.trials) - len(self._invalid)
        if limit is not None and counted > limit:
            raise Fault(
                Kind.BUDGET,
                f"trial {order.trial} makes {counted} trials, those with invalid hyperparameters not counted, "
                f"but max_trials is {limit}. Count the trials that were created.",
            )

    def _validate(self, order: Order, event: SearcherEvent, names: Names) -> None:
        trial = self._find(order)
        if trial.is_closed or trial.has_exited or trial.is_over:
            raise Fault(Kind.OVER_TRIAL, f"{order}, but {_why_over(order.trial, trial)}. Nothing comes of it.")
        done = f"{order}, but trial {order.trial} has completed {trial.completed} already"
        if order.length < max(trial.completed, 1):
            raise Fault(Kind.LENGTH, f"{done}. {_LENGTHS}")
        if order.length == trial.completed:
            # A table of lengths that are rounded to whole units, at least 1, may hold a length twice.
            self.repeats = self.repeats or str(order)
            if order.length > 1:
                self.repeated = self.repeated or f"{done}, and no trial is ever asked for more. {_LENGTHS}"
        self.grows = self.grows or 0 < trial.completed < order.length
        if order.length == trial.asked:
            raise Fault(Kind.LENGTH, f"{order} comes twice: trial {order.trial} is at work on that length already.")
        limit = self.budget.max_length
        if limit is not None and order.length > limit:
            raise Fault(Kind.BUDGET, f"{order} asks for more than max_length, which is {limit}.")
        trial.asked = order.length
        self._units += max(order.length - trial.longest, 0)
        trial.longest = max(trial.longest, order.length)
        units = self.budget.max_units
        if units is not None and self._units > units:
            raise Fault(Kind.BUDGET, f"with {order} all trials together train {self._units}, but max_units is {units}.")

    def _close(self, order: Order, event: SearcherEvent, names: Names) -> None:
        trial = self._find(order)
        # The answer to an early exit may close the trial that is told about; nothing comes of it, and it is common.
        answers_its_exit = isinstance(event, TrialExitedEarly) and names.of(event.request_id) == order.trial
        if trial.is_over or trial.is_closed or (trial.has_exited and not answers_its_exit):
            raise Fault(Kind.OVER_TRIAL, f"{order}, but {_why_over(order.trial, trial)}. Close each trial once.")
        self._open -= trial.is_open
        trial.is_closed = True

    def _shut_down(self, order: Order, event: SearcherEvent, names: Names) -> None:
        self.has_shut_down = True
        if order.detail:
            # A search that is cancelled or has failed gives its trials up, and says so.
            return
        advice = "Wait until every trial is closed, or give them up with Shutdown(cancel=True)."
        left = list(self.left_behind())
        if left:
            raise Fault(Kind.LEFT_BEHIND, f"Shutdown comes while {listed(left)} not closed and may be alive. {advice}")
        at_work = [name for name, trial in self.trials.items() if trial.asked is not None]
        if at_work:
            raise Fault(
                Kind.LEFT_BEHIND,
                f"Shutdown comes while {listed(at_work)} at work, or waiting for it; one that waits never runs. "
                f"{advice}",
            )

    def _find(self, order: Order) -> Known:
        if not order.known:
            raise Fault(
                Kind.UNKNOWN_TRIAL,
                f"{order} is for a request id that no Create has used before it. Nothing comes of it. "
                "Put the Create first, and keep request ids as they are.",
            )
        return self.trials[order.trial]

    def _check_progress(self, value: float, event: SearcherEvent, names: Names) -> None:
        if not -_ROUNDING <= value <= 1 + _ROUNDING:
            raise Fault(
                Kind.PROGRESS_RANGE,
                f"progress is {value!r}; it must be from 0 to 1. Divide by what the search will do in all, and "
                "count nothing twice.",
            )
        if value < self._progress - _ROUNDING and not self._may_fall(event, names):
            raise Fault(
                Kind.PROGRESS_FALLS,
                f"progress is {value:.6g} and was {self._progress:.6g}. What was done stays done: count a trial that "
                "is over in full, and do not let a trial that goes back to its checkpoint take progress with it.",
            )
        self._progress = value
        left = [] if value < 1 or self.has_shut_down else list(self.left_behind())
        if left:
            raise Fault(
                Kind.LEFT_BEHIND,
                f"progress is {value:.6g} while {listed(left)} not closed. Close them in this answer, or say less.",
            )

    def _may_fall(self, event: SearcherEvent, names: Names) -> bool:
        """What an invalid point had reached was for nothing, when another one is to make up for it."""
        return isinstance(event, (TrialExitedEarly, TrialClosed)) and names.of(event.request_id) in self._invalid


_ORDERS = {
    "Create": Judge._create,
    "ValidateAfter": Judge._validate,
    "Close": Judge._close,
    "Shutdown": Judge._shut_down,
}


def _why_over(name: str, trial: Known) -> str:
    if trial.is_over:
        return f"on_trial_closed was called for trial {name}: it is over"
    if trial.has_exited:
        return f"on_trial_exited_early was called for trial {name}: it is over"
    return f"trial {name} was closed by an earlier answer"


def listed(names: Sequence[str], verb: tuple[str, str] = ("is", "are")) -> str:
    """``trial a is``, or ``trials a, b and c are``."""
    if len(names) == 1:
        return f"trial {names[0]} {verb[0]}"
    shown = [*names[:8], f"{len(names) - 8} more"] if len(names) > 9 else names
    return f"trials {', '.join(shown[:-1])} and {shown[-1]} {verb[1]}"
