"""Any sampler of Optuna as a search method, with or without early stopping."""

from __future__ import annotations

import dataclasses
import functools
import math
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from determined.domain.events import ExitedReason
from determined.domain.operations import Operation
from determined.domain.reasons import Reason
from determined.domain.search_method import SearcherState
from determined.domain.space import SpaceLike
from determined.errors import InvalidInput
from determined.methods.arguments import at_least, check_divisor, check_flags, check_rungs, number_of, whole_seed
from determined.methods.brackets import PooledBracketSearch
from determined.methods.halving import Member, Phase, Plan
from determined.methods.halving_words import Words
from determined.methods.hyperband import divide_plans
from determined.methods.optuna_samplers import SamplerFactory, make_by_function, make_sampler
from determined.methods.optuna_study import Study

if TYPE_CHECKING:
    import optuna

MANY_PLACES = 20
"""So many trials at a time are better spent on several brackets that stop trials than on one that promotes them.

In one bracket that promotes, no trial is far before its turn comes, and with many places a budget is spent before many
turns have come. Measured for four rungs and divisor 3; see ``docs/speed.md``.
"""


class OptunaSearch(PooledBracketSearch):
    """Optuna proposes the points; with more than one rung, successive halving decides how far each is trained.

    With one trial at a time and one rung, the points are those that ``study.optimize`` of Optuna tries with the same
    sampler and seed. With rungs the sampler learns from the longest length that at least 10 trials have reached, and
    from that one only, as in BOHB. A trial without any result when it ends is told as failed, which samplers ignore;
    one with invalid hyperparameters is replaced, in the same bracket.

    With several brackets this is the scheme of BOHB, but for its brackets, which are the asynchronous ones of
    ``HyperbandSearch``: trials and places are divided as there, and one sampler learns from the trials of all of them.

    TPE is told of running trials (``constant_liar``) when several run at a time, unless ``sampler_args`` say otherwise.

    Source: Akiba et al., Optuna: A Next-generation Hyperparameter Optimization Framework, KDD 2019; for TPE, Bergstra
    et al., Algorithms for Hyper-Parameter Optimization, NIPS 2011; for the rungs, ``AsyncHalvingSearch``; for the
    brackets, ``HyperbandSearch``; for what a sampler learns from them, Falkner et al., BOHB: Robust and Efficient
    Hyperparameter Optimization at Scale, ICML 2018.
    State: that of the brackets, and the study; see ``Study``. With several brackets also which trial of the study
    belongs to which.
    Cost: what the sampler takes for each new trial; TPE some milliseconds with 30 trials, and 30 or more with 1,000.

    Args:
        space: what points are drawn from; conditional parts become parameters that only some trials have.
        max_length: how long the longest trials train, in the experiment's unit.
        max_trials: how many trials are started in all.
        sampler: name of a class in ``optuna.samplers``, or a function that makes a sampler from a seed.
        sampler_args: arguments of the class, by name.
        num_rungs: 1 trains every trial to ``max_length``; more as in ``AsyncHalvingSearch``.
        num_brackets: from 1 to ``num_rungs``: brackets with ``num_rungs`` rungs, one less, and so on. Those that would
            get no trial are left out. 0: 1 with fewer than ``MANY_PLACES`` trials at a time, otherwise ``num_rungs``.
        divisor: one trial in so many is promoted.
        stop_once: stop trials for good as soon as they have reported, instead of promoting the best later on. None:
            stop them with several brackets, promote with one.
        max_concurrent_trials: how many trials are started at first, and so train at any time; 0: ``divisor **
            (num_rungs - 1)``. The fewer, the more each proposal knows.
        smaller_is_better: direction of the metric.
        seed: of the sampler, from 0 to ``2**32 - 1``.

    Raises:
        InvalidInput: an argument is out of range, unknown to Optuna, or Optuna cannot search the space.
        FailedPrecondition: Optuna is not installed.
    """

    def __init__(
        self,
        space: SpaceLike,
        max_length: int,
        max_trials: int,
        *,
        sampler: str | SamplerFactory = "TPESampler",
        sampler_args: Mapping[str, Any] | None = None,
        num_rungs: int = 1,
        num_brackets: int = 0,
        divisor: float = 4,
        stop_once: bool | None = None,
        max_concurrent_trials: int = 16,
        smaller_is_better: bool = True,
        seed: int = 0,
    ) -> None:
        at_least(1, max_length=max_length, max_trials=max_trials)
        at_least(0, max_concurrent_trials=max_concurrent_trials)
        check_flags(smaller_is_better=smaller_is_better, **({} if stop_once is None else {"stop_once": stop_once}))
        seed = _checked_seed(seed)
        at_least(1, num_rungs=num_rungs)
        at_least(0, num_brackets=num_brackets)
        if num_brackets > num_rungs:
            raise InvalidInput(f"num_brackets must be at most num_rungs, which is {num_rungs}; got {num_brackets}")
        check_divisor(divisor)
        check_rungs(num_rungs, divisor)
        concurrent = max_concurrent_trials or int(divisor ** (num_rungs - 1))
        num_brackets = num_brackets or (num_rungs if concurrent >= MANY_PLACES else 1)
        if stop_once is None:
            stop_once = num_brackets > 1
        plans = divide_plans(
            max_length,
            max_trials,
            num_rungs,
            brackets=num_brackets,
            divisor=divisor,
            stop_once=stop_once,
            smaller_is_better=smaller_is_better,
        )
        super().__init__(space, plans if num_brackets > 1 else [_unnumbered(plans[0])], concurrent, seed)
        made = _made(sampler, sampler_args, seed, is_parallel=concurrent > 1)
        self.study = Study(self.space, made, minimize=smaller_is_better, one_length=num_rungs == 1)
        self._asked: list[int] = []
        self._numbers: list[list[int]] = [[] for _ in self.brackets]
        for index, bracket in enumerate(self.brackets):
            plan = bracket.plan
            bracket.words = _Words(divisor, plan.number, plan.lengths, plan.max_trials, self.study)
            bracket.point = functools.partial(self._ask, index)

    def _ask(self, bracket: int, number: int) -> Mapping[str, Any]:
        self._place(bracket)
        return self.study.ask(self._numbers[bracket][number])

    def _place(self, bracket: int) -> None:
        """The next trial of the study is the next one of a bracket."""
        self._numbers[bracket].append(len(self._asked))
        self._asked.append(bracket)

    def _in_study(self, member: Member) -> int:
        return self._numbers[member.bracket][member.number]

    def on_validation_completed(
        self, state: SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[Operation]:
        """Tell the result, then decide.

        Raises:
            InvalidInput: the metric is no number.
        """
        member = self.members.get(request_id)
        if member is not None and member.phase is Phase.TRAINING:
            bracket = self.brackets[member.bracket]
            value, number = number_of(metric), self._in_study(member)
            if member.rung < bracket.top:
                self.study.report(number, bracket.rungs[member.rung].length, value)
            else:
                self.study.tell(number, None if math.isnan(value) else value)
        return super().on_validation_completed(state, request_id, metric, train_length)

    def on_trial_exited_early(
        self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason
    ) -> list[Operation]:
        """Tell that there is no more to come, then decide."""
        self._give_up(request_id)
        return super().on_trial_exited_early(state, request_id, exited_reason)

    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        """The same, for a trial that was stopped."""
        self._give_up(request_id)
        return super().on_trial_closed(state, request_id)

    def snapshot(self) -> Mapping[str, Any]:
        """The brackets and the study; of several brackets also that of each trial of the study, in order."""
        saved = {**super().snapshot(), "study": self.study.snapshot()}
        return {**saved, "asked": list(self._asked)} if len(self.brackets) > 1 else saved

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take up what ``snapshot`` gave.

        Raises:
            CorruptState: the sampler does not propose what it proposed before; see ``Study``.
        """
        super().restore(saved)
        self.study.restore(saved["study"])
        for bracket in saved["asked"] if len(self.brackets) > 1 else [0] * self.study.asked:
            self._place(bracket)

    def _give_up(self, request_id: uuid.UUID) -> None:
        member = self.members.get(request_id)
        if member is not None:
            number = self._in_study(member)
            if self.study.is_open(number):
                self.study.tell(number, None)


class _Words(Words, frozen=True):
    """Says for each new trial what the sampler knew."""

    study: Study

    def starts(self, cause: str, trial: int) -> Reason:
        proposal = f"{{sampler}}'s proposal {{trial}} of {{trials}}{self.within}"
        return Reason(
            f"{cause}: {proposal}, knowing {{results}} results and {{pending}} pending trials",
            sampler=self.study.name,
            trial=trial,
            trials=self.trials,
            results=self.study.known,
            pending=self.study.pending,
            **self.more,
        )


def _unnumbered(plan: Plan) -> Plan:
    # A bracket that is the only one has no number in reasons and request ids, as in ``AsyncHalvingSearch``.
    return dataclasses.replace(plan, number=None)


def _checked_seed(seed: Any) -> int:
    # Samplers seed generators of NumPy with it, which take no other.
    number = whole_seed(seed)
    if not 0 <= number < 2**32:
        raise InvalidInput(f"seed must be a whole number from 0 to {2**32 - 1}, got {number!r:.80}")
    return number


def _made(
    sampler: str | SamplerFactory, sampler_args: Mapping[str, Any] | None, seed: int, *, is_parallel: bool
) -> optuna.samplers.BaseSampler:
    arguments = {} if sampler_args is None else sampler_args
    if not isinstance(arguments, Mapping):
        raise InvalidInput(f"sampler_args must be a mapping of names to values, got {arguments!r:.80}")
    if not isinstance(sampler, str):
        return make_by_function(sampler, seed)
    given = {"constant_liar": True, **arguments} if sampler == "TPESampler" and is_parallel else arguments
    return make_sampler(sampler, given, seed)
