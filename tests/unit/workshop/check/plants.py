"""Copies of a method that is right, each with one fault."""

from __future__ import annotations

import itertools
import math
import random
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from determined import searcher
from determined.searcher import ExitedReason, Operation, SearcherState
from tests.unit.workshop.check.small_halving import LENGTHS, SmallHalving


class ForgetsToClose(SmallHalving):
    def close(self, request_id: uuid.UUID) -> list[Operation]:
        super().close(request_id)
        return []


class NeverShutsDown(SmallHalving):
    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        return [op for op in super().on_trial_closed(state, request_id) if not isinstance(op, searcher.Shutdown)]


class IgnoresEarlyExits(SmallHalving):
    def on_trial_exited_early(
        self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason
    ) -> list[Operation]:
        return []

    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        # Only those that it closed itself are counted.
        return [] if str(request_id) in self.training else super().on_trial_closed(state, request_id)


class LosesTrialsWithEqualMetrics(SmallHalving):
    """Waits for as many different metrics as there are trials."""

    def close(self, request_id: uuid.UUID) -> list[Operation]:
        return super().close(request_id) if len(set(self.rungs[0])) == len(self.rungs[0]) else []


class NeverEnds(SmallHalving):
    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        return self.create()


class LosesItsRandomState(SmallHalving):
    def restore(self, saved: Mapping[str, Any]) -> None:
        super().restore({**saved, "rng": self.rng.getstate()})


class RestoresCountersWrongly(SmallHalving):
    def restore(self, saved: Mapping[str, Any]) -> None:
        super().restore({**saved, "over": saved["created"] - len(saved["training"])})


class SavesATrialTooFew(SmallHalving):
    """Trials that wait to be started are not in the file."""

    def save_method_state(self, path: Path) -> None:
        kept, self.training = self.training, {name: rung for name, rung in self.training.items() if rung}
        super().save_method_state(path)
        self.training = kept


class CannotBeSaved(SmallHalving):
    def snapshot(self) -> dict[str, Any]:
        return {**super().snapshot(), "training": set(self.training)}


class EmptiesAListWhenItIsSaved(SmallHalving):
    def save_method_state(self, path: Path) -> None:
        super().save_method_state(path)
        self.rungs[0].clear()


class CountsItsSnapshots(SmallHalving):
    """A trial's point tells how often the search was saved."""

    saves = 0

    def create(self) -> list[Operation]:
        create, *more = super().create()
        assert isinstance(create, searcher.Create)
        return [searcher.Create(create.request_id, {"saves": self.saves}), *more]

    def snapshot(self) -> dict[str, Any]:
        self.saves += 1
        return {**super().snapshot(), "saves": self.saves}


class PromotesTwice(SmallHalving):
    def promote(self, request_id: uuid.UUID, rung: int) -> list[Operation]:
        return super().promote(request_id, rung) + super().promote(request_id, rung)


class StaysAtItsLength(SmallHalving):
    """Takes lengths for what is to be trained on top."""

    step = 2

    def create(self) -> list[Operation]:
        create, _ = super().create()
        assert isinstance(create, searcher.Create)
        return [create, searcher.ValidateAfter(create.request_id, 2)]

    def promote(self, request_id: uuid.UUID, rung: int) -> list[Operation]:
        super().promote(request_id, rung)
        return [searcher.ValidateAfter(request_id, self.step)]


class GoesBackToALength(StaysAtItsLength):
    step = 1


class ShutsDownTooEarly(SmallHalving):
    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        operations = super().on_trial_closed(state, request_id)
        return operations or [searcher.Shutdown()]


class ActsOnAClosedTrial(SmallHalving):
    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        return [searcher.Close(request_id), *super().on_trial_closed(state, request_id)]


class ActsOnATrialThatExited(SmallHalving):
    def on_trial_exited_early(
        self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason
    ) -> list[Operation]:
        super().on_trial_exited_early(state, request_id, exited_reason)
        return [searcher.ValidateAfter(request_id, LENGTHS[-1])]


class MistakesAnId(SmallHalving):
    def close(self, request_id: uuid.UUID) -> list[Operation]:
        super().close(request_id)
        return [searcher.Close(uuid.UUID(int=request_id.int + 100))]


class CopiesATrialThatNeverWas(SmallHalving):
    def create(self) -> list[Operation]:
        create, *more = super().create()
        assert isinstance(create, searcher.Create)
        return [searcher.Create(create.request_id, create.hparams, source_trial=uuid.UUID(int=99)), *more]


class ReusesARequestId(SmallHalving):
    """Takes the number of an invalid trial for its replacement."""

    def request_id(self) -> uuid.UUID:
        return uuid.UUID(int=self.created - self.invalid + 1)


class ExceedsMaxTrials(SmallHalving):
    """Starts another trial for one that was killed, without counting it."""

    def on_trial_exited_early(
        self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason
    ) -> list[Operation]:
        self.training.pop(str(request_id), None)
        self.invalid += 1
        return []


class ProgressFalls(SmallHalving):
    """Counts the units of trials, which fall when one goes back to its checkpoint."""

    def progress(self, state: SearcherState) -> float:
        return min(sum(state.trial_progress.values()) / (self.max_trials * LENGTHS[-1]), 1.0)


class ProgressBeyondOne(SmallHalving):
    def progress(self, state: SearcherState) -> float:
        return self.over * 2 / self.max_trials


class ProgressIsNoNumber(SmallHalving):
    def progress(self, state: SearcherState) -> float:
        return math.nan if self.over else 0.0


class DoneTooSoon(SmallHalving):
    def progress(self, state: SearcherState) -> float:
        return min(len(self.rungs[0]) / self.max_trials, 1.0)


class CrashesOnNaN(SmallHalving):
    def loss(self, metric: float) -> float:
        return round(metric * 1000) / 1000 if metric == metric else float(round(metric))


class CrashesWhenATrialNeverStarts(SmallHalving):
    def on_trial_exited_early(
        self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason
    ) -> list[Operation]:
        assert state.trial_progress[request_id] >= 0
        return super().on_trial_exited_early(state, request_id, exited_reason)


class AnswersNothing(SmallHalving):
    def on_trial_created(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        return None  # type: ignore[return-value]  # the fault


class ChangesTheSearcherState(SmallHalving):
    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        state.trial_progress.pop(request_id, None)
        return super().on_trial_closed(state, request_id)


class ClearsTheSearcherState(SmallHalving):
    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        state.trials_created.clear()
        return super().on_trial_closed(state, request_id)


class EndsTheProcess(SmallHalving):
    def on_trial_exited_early(
        self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason
    ) -> list[Operation]:
        sys.exit(3)


class EndsTheProcessWhenItIsLoaded(SmallHalving):
    def restore(self, saved: Mapping[str, Any]) -> None:
        sys.exit("cannot be loaded")


class CountsInItsClass(SmallHalving):
    numbers: ClassVar[Any] = itertools.count(1)

    def request_id(self) -> uuid.UUID:
        return uuid.UUID(int=next(self.numbers))


RESULTS: list[float] = []


class KeepsResultsInItsModule(SmallHalving):
    def is_good(self, rung: int, loss: float) -> bool:
        RESULTS.append(loss)
        return loss <= min(RESULTS)


class SavesAnAlias(SmallHalving):
    """What is saved is the place of the living objects."""

    living: ClassVar[dict[str, Any]] = {}

    def snapshot(self) -> dict[str, Any]:
        self.living["rungs"] = self.rungs
        return {**super().snapshot(), "rungs": "rungs"}

    def restore(self, saved: Mapping[str, Any]) -> None:
        super().restore({**saved, "rungs": self.living["rungs"]})


class HasNoSeed(SmallHalving):
    def __init__(self, max_trials: int = 3, concurrent: int = 2) -> None:
        super().__init__(max_trials, concurrent)
        self.rng = random.Random()


class TakesTheOrderOfASet(SmallHalving):
    """Begins with whatever comes first out of a set of words."""

    def create(self) -> list[Operation]:
        kinds = {"relu", "tanh", "gelu", "elu", "selu", "silu"}
        create, *more = super().create()
        assert isinstance(create, searcher.Create)
        return [searcher.Create(create.request_id, {"kind": next(iter(kinds))}), *more]


class ScansEveryResult(SmallHalving):
    def is_good(self, rung: int, loss: float) -> bool:
        better = len([other for other in self.rungs[rung] if other < loss])
        self.rungs[rung].append(loss)
        return better < max(len(self.rungs[rung]) // 2, 1)


class AsksEveryTrial(SmallHalving):
    def progress(self, state: SearcherState) -> float:
        return max(sum(1 for _ in state.trials_closed) - self.invalid, 0) / self.max_trials
