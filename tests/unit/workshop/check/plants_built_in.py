"""The built-in methods, each time with one fault."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from determined.domain.events import ExitedReason
from determined.domain.hparams import Double, Int, Space, sample
from determined.domain.operations import Close, Operation
from determined.domain.search_method import SearcherState
from determined.methods.adaptive_asha import AdaptiveASHASearch
from determined.methods.async_halving import AsyncHalvingSearch
from determined.methods.brackets import BracketSearch
from determined.methods.draws import Draws
from determined.methods.grid import GridSearch
from determined.methods.halving import Answer, Bracket, Member, Phase, Plan
from determined.methods.hyperband import HyperbandSearch
from determined.methods.pbt import PBTSearch
from determined.methods.population import Member as PBTMember
from determined.methods.population import Parent, Ranking
from determined.methods.random import RandomSearch

SPACE = Space.of({"lr": Double(0, 1, 2), "size": Int(1, 3, 2)})


class SmallRandom(RandomSearch):
    def __init__(self, max_length: int = 4, max_trials: int = 3) -> None:
        super().__init__(SPACE, max_length, max_trials, max_concurrent_trials=2)


class SmallGrid(GridSearch):
    def __init__(self, max_length: int = 4) -> None:
        super().__init__(SPACE, max_length, max_concurrent_trials=2)


class OwnBracket(BracketSearch):
    """Makes its brackets of a class of its own."""

    bracket: ClassVar[type[Bracket]] = Bracket

    def _bracket(self, plan: Plan) -> Bracket:
        prefix = "" if plan.number is None else f"bracket {plan.number} "
        return self.bracket(plan, self.draws.request_ids(f"{prefix}trial"), self._points(prefix))


class SmallHalvingSearch(OwnBracket, AsyncHalvingSearch):
    def __init__(self, max_length: int = 4, max_trials: int = 4) -> None:
        super().__init__(SPACE, max_length, max_trials, num_rungs=2, divisor=2, max_concurrent_trials=2)


class SmallAdaptive(OwnBracket, AdaptiveASHASearch):
    def __init__(self, max_length: int = 4, max_trials: int = 4) -> None:
        super().__init__(SPACE, max_length, max_trials, mode="conservative", divisor=2, max_concurrent_trials=3)


class SmallHyperband(OwnBracket, HyperbandSearch):
    def __init__(self, max_length: int = 4, max_trials: int = 4) -> None:
        super().__init__(SPACE, max_length, max_trials, divisor=2, max_concurrent_trials=2)


class SmallPBT(PBTSearch):
    def __init__(self, max_length: int = 4) -> None:
        super().__init__(SPACE, max_length, population_size=2, num_rounds=2)


RIGHT = (SmallRandom, SmallGrid, SmallHalvingSearch, SmallAdaptive, SmallHyperband, SmallPBT)


class RandomForgetsToClose(SmallRandom):
    def _start(self) -> list[Operation]:
        return super()._start()[:-1]


class RandomStartsOneTooMany(SmallRandom):
    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        is_full = self.started - self.replaced == self.total
        return super().on_trial_closed(state, request_id) + (self._start() if is_full else [])


class RandomCountsAFinishedTrialTwice(SmallRandom):
    def progress(self, state: SearcherState) -> float:
        return super().progress(state) + self.finished / self.total


class RandomTakesTheIdOfAnInvalidTrial(SmallRandom):
    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        self.started -= request_id in self.invalid
        self.replaced -= request_id in self.invalid
        return super().on_trial_closed(state, request_id)


class GridNeverShutsDown(SmallGrid):
    auto_shutdown = False


class GridLosesItsPlace(SmallGrid):
    def restore(self, saved: Mapping[str, Any]) -> None:
        super().restore({**saved, "started": saved["finished"] + len(saved["parts"])})


class GridProgressFalls(SmallGrid):
    """A trial that goes back to its checkpoint takes its progress with it."""

    def on_trial_progress(self, state: SearcherState, request_id: uuid.UUID, units: float) -> None:
        self._forget(request_id)
        super().on_trial_progress(state, request_id, units)
        self.parts[request_id] = int(units / self.length * 2**40)
        self._sum = sum(self.parts.values())


class GridMovesOnWhenItIsSaved(SmallGrid):
    def snapshot(self) -> Mapping[str, Any]:
        saved = super().snapshot()
        self.started += self.started == 3
        return saved


class PromotingTwice(Bracket):
    def promote(
        self, member: Member, is_own: bool, index: int, places: int, operations: list[Operation]
    ) -> Member | None:
        climber = super().promote(member, is_own, index, places, operations)
        operations += operations[-1:]
        return climber


class HalvingPromotesTwice(SmallHalvingSearch):
    bracket = PromotingTwice


class ClosingAtTheEnd(Bracket):
    def closed(self, member: Member) -> Answer:
        operations, cause = super().closed(member)
        return [*operations, Close(member.request_id)], cause


class HalvingClosesAClosedTrial(SmallHalvingSearch):
    bracket = ClosingAtTheEnd


class LeavingLosersOpen(Bracket):
    def _close_complete_rungs(self, operations: list[Operation]) -> None:
        pass


class HalvingLeavesLosersOpen(SmallHalvingSearch):
    bracket = LeavingLosersOpen


class WaitingForTheDead(Bracket):
    """A trial that ended early never brings a result, so its rung is never complete."""

    def exited(self, member: Member, why: ExitedReason) -> Answer:
        return super().exited(member, why) if why is ExitedReason.INVALID_HP else self._leave(member)

    def _leave(self, member: Member) -> Answer:
        member.phase = Phase.OVER
        self.rungs[member.rung].waiting.discard(member.number)
        return [], "a trial ended early"


class HalvingWaitsForTheDead(SmallHalvingSearch):
    bracket = WaitingForTheDead


class IgnoringInvalidPoints(Bracket):
    """Counts them as trials, and waits for their results."""

    def _replace(self, member: Member, before: Any) -> Answer:
        return [], ""


class HalvingIgnoresInvalidPoints(SmallHalvingSearch):
    bracket = IgnoringInvalidPoints


class CrashingOnNaN(Bracket):
    def completed(self, member: Member, metric: Any) -> Answer:
        return super().completed(member, round(metric * 1e6) / 1e6)


class HalvingCrashesOnNaN(SmallHalvingSearch):
    bracket = CrashingOnNaN


class ForgettingWhoTrains(Bracket):
    def restore(self, saved: Mapping[str, Any]) -> None:
        super().restore(saved)
        for rung in self.rungs:
            rung.training = 0


class AdaptiveForgetsWhoTrains(SmallAdaptive):
    bracket = ForgettingWhoTrains


class AdaptiveLosesItsRandomState(SmallAdaptive):
    def _points(self, prefix: str) -> Callable[[int], Mapping[str, Any]]:
        rng = random.Random(prefix)
        return lambda number: sample(self.space, rng)


class AdaptiveForgetsItsTrials(SmallAdaptive):
    def restore(self, saved: Mapping[str, Any]) -> None:
        super().restore(saved)
        self.members.clear()


class HyperbandTrainsTooLong(SmallHyperband):
    def _bracket(self, plan: Plan) -> Bracket:
        bracket = super()._bracket(plan)
        bracket.rungs[-1].length += 1
        return bracket


class HyperbandDrawsByItsPlaceInMemory(SmallHyperband):
    def _points(self, prefix: str) -> Callable[[int], Mapping[str, Any]]:
        return lambda number: sample(self.space, Draws(id(self))(f"point {number}"))


class HyperbandIsDoneTooSoon(SmallHyperband):
    def progress(self, state: SearcherState) -> float:
        return min(super().progress(state) * 1.2, 1.0)


class PBTExploresByTheClock(SmallPBT):
    def _copy(self, parent: Parent, reason: Any) -> list[Operation]:
        self.draws = Draws(time.monotonic_ns())
        return super()._copy(parent, reason)


class PBTForgetsTheDead(SmallPBT):
    def on_trial_exited_early(
        self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason
    ) -> list[Operation]:
        if request_id in self.members:
            self.members[request_id].ended = True
        return []


class PBTClosesTheDead(SmallPBT):
    def _replace(
        self, request_id: uuid.UUID, loser: PBTMember, parents: list[PBTMember], ranking: Ranking
    ) -> list[Operation]:
        return [*([Close(request_id)] if loser.ended else []), *super()._replace(request_id, loser, parents, ranking)]


class PBTLosesItsRound(SmallPBT):
    def restore(self, saved: Mapping[str, Any]) -> None:
        super().restore({**saved, "round": 1})
