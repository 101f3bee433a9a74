"""Recorded trials that stand in for those of another search, and an account of what had to be made up."""

from __future__ import annotations

import bisect
import math
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from determined.domain.events import ExitedReason
from determined.domain.operations import Create, Operation
from determined.domain.search_method import SearcherState, SearchMethod
from determined.errors import InvalidInput
from determined.methods.ending import ending
from determined.simulator.curves import Curve

NUMBER = "recorded_trial"
"""Name of the hyperparameter that tells which recorded trial a simulated one follows."""
EXTRAPOLATIONS = ("hold", "trend", "refuse")


@dataclass
class Account:
    """How much of what a search was told is recorded.

    Attributes:
        recorded: metrics that stand in the recording as they are.
        interpolated: metrics between two recorded lengths.
        extrapolated: metrics beyond the longest recorded length of their trial, or before its shortest.
        reused: metrics of trials that stand for more than one trial, because too few were recorded.
        units, invented_units: trained in all, and those that are beyond what their trial was recorded for.
    """

    recorded: int = 0
    interpolated: int = 0
    extrapolated: int = 0
    reused: int = 0
    units: float = 0.0
    invented_units: float = 0.0

    @property
    def metrics(self) -> int:
        """All metrics that the search was told."""
        return self.recorded + self.interpolated + self.extrapolated + self.reused

    @property
    def invented(self) -> float:
        """Share of the metrics that are not in the recording as they are, from 0 to 1."""
        return 1 - self.recorded / self.metrics if self.metrics else 0.0


class RecordedTrials(SearchMethod):
    """A search method whose trials are recorded ones, in the order in which they were recorded.

    What the method proposes is replaced by the hyperparameters of the next recorded trial. For methods that draw their
    points independently, as successive halving does, that is as good as what they would have drawn; a method that
    learns from metrics where to look is not told the truth about its own proposals. When all recorded trials are used
    up, some are drawn again, at random.

    Args:
        method: decides everything else.
        curves: of the recorded trials, in order.
        extrapolate: what a trial reports beyond its curve: ``"hold"``, its last recorded metric; ``"trend"``, the line
            through its last two metrics over the logarithm of the length; ``"refuse"``, nothing, and the search fails.
        seed: of what is drawn again.
    """

    def __init__(
        self, method: SearchMethod, curves: Sequence[Curve], *, extrapolate: str = "hold", seed: int = 0
    ) -> None:
        if not curves:
            raise InvalidInput("nothing to go by: no recorded trial has reported a number as the searched metric")
        if extrapolate not in EXTRAPOLATIONS:
            raise InvalidInput(f"extrapolate is one of {', '.join(EXTRAPOLATIONS)}, not {extrapolate!r}")
        self.method = ending(method)
        self.curves = curves
        self.extrapolate = extrapolate
        self.account = Account()
        self._rng = random.Random(seed)
        self._created = 0
        self._curve_of: dict[uuid.UUID, tuple[Curve, bool]] = {}
        self._reached: dict[uuid.UUID, int] = {}

    @property
    def unused(self) -> int:
        """How many recorded trials stood for none that the method started."""
        return max(len(self.curves) - self._created, 0)

    # What the simulator asks

    def metric(self, hparams: Mapping[str, Any], length: float) -> float:
        """What the trial with these hyperparameters has at a length.

        Raises:
            InvalidInput: it was not recorded so far, and extrapolation is refused.
        """
        number: int = hparams[NUMBER]
        curve = self.curves[number]
        at = bisect.bisect_left(curve.lengths, length)
        if at == len(curve.lengths):
            return self._beyond(curve, length)
        if curve.lengths[at] == length or at == 0:
            return curve.metrics[at]
        (a, b), (x, y) = curve.lengths[at - 1 : at + 1], curve.metrics[at - 1 : at + 1]
        return x + (y - x) * (length - a) / (b - a)

    def _beyond(self, curve: Curve, length: float) -> float:
        if self.extrapolate == "refuse":
            raise InvalidInput(
                f"a trial was asked to train to {length:g}, but the recorded one was trained to {curve.lengths[-1]:g} "
                "only; allow extrapolation (hold or trend), or compare with a method that trains no further"
            )
        if self.extrapolate == "hold" or len(curve.lengths) < 2:
            return curve.metrics[-1]
        (a, b), (x, y) = curve.lengths[-2:], curve.metrics[-2:]
        if a <= 0:
            return y
        return y + (y - x) * math.log(length / b) / math.log(b / a)

    # What the method decides

    def initial_operations(self, state: SearcherState) -> list[Operation]:
        """The method's answer, with recorded trials."""
        return self._recorded(self.method.initial_operations(state))

    def on_trial_created(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        """The method's answer, with recorded trials."""
        return self._recorded(self.method.on_trial_created(state, request_id))

    def on_validation_completed(
        self, state: SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[Operation]:
        """The method's answer, with recorded trials; the metric goes into the account."""
        self._note(request_id, train_length)
        return self._recorded(self.method.on_validation_completed(state, request_id, metric, train_length))

    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        """The method's answer, with recorded trials."""
        self._curve_of.pop(request_id, None)
        self._reached.pop(request_id, None)
        return self._recorded(self.method.on_trial_closed(state, request_id))

    def on_trial_exited_early(
        self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason
    ) -> list[Operation]:
        """The method's answer, with recorded trials."""
        return self._recorded(self.method.on_trial_exited_early(state, request_id, exited_reason))

    def on_trial_progress(self, state: SearcherState, request_id: uuid.UUID, units: float) -> None:
        """The method hears it."""
        self.method.on_trial_progress(state, request_id, units)

    def progress(self, state: SearcherState) -> float:
        """The method's."""
        return self.method.progress(state)

    def _recorded(self, operations: list[Operation]) -> list[Operation]:
        return [self._stand_in(op) if isinstance(op, Create) else op for op in operations]

    def _stand_in(self, op: Create) -> Create:
        is_again = self._created >= len(self.curves)
        number = self._rng.randrange(len(self.curves)) if is_again else self._created
        self._created += 1
        curve = self.curves[number]
        self._curve_of[op.request_id] = (curve, is_again)
        # Checkpoints are not recorded: a copy of another trial follows the curve of a recorded one, like all others.
        return Create(op.request_id, {**curve.hparams, NUMBER: number}, reason=op.reason)

    def _note(self, request_id: uuid.UUID, length: int) -> None:
        curve, is_again = self._curve_of[request_id]
        account = self.account
        before = self._reached.get(request_id, 0)
        trained = max(length - before, 0)
        self._reached[request_id] = max(length, before)
        account.units += trained
        beyond = max(length - max(before, curve.lengths[-1]), 0)
        account.invented_units += trained if is_again else min(beyond, trained)
        if is_again:
            account.reused += 1
        elif length in curve.lengths:
            account.recorded += 1
        elif curve.lengths[0] < length < curve.lengths[-1]:
            account.interpolated += 1
        else:
            account.extrapolated += 1
