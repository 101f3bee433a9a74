"""Where a study keeps its trials; imported only by whoever uses Optuna, because its class derives from Optuna's."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Container
from typing import Any

from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

ENOUGH = 10
"""Results at a length that a model may be built on: as many points as TPE draws at random before it has one."""
FULL = math.inf
"""Stands for the full length, at which trials are complete."""


class Storage(InMemoryStorage):
    """Trials of one study in memory, which shows samplers the results of one length only.

    That is the longest length with at least ``ENOUGH`` results, or the shortest one while there are none. Trials that
    have come so far show as complete there, whatever became of them. Those that have not are hidden, unless they have
    no result at all, so that results of short trainings never compete with those of long ones: a sampler that ranks
    trials by how far they came learns what survives the first rungs rather than what is good.

    Source of the rule: Falkner et al., BOHB: Robust and Efficient Hyperparameter Optimization at Scale, ICML 2018,
    section 3.2.
    """

    study_id = 0

    def __init__(self) -> None:
        super().__init__()
        # What a trial shows as at a length, until it changes: samplers ask for all of them at each proposal.
        self._copies: dict[int, tuple[FrozenTrial, float, FrozenTrial]] = {}

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        as_they_are: bool = False,
    ) -> list[FrozenTrial]:
        """The trials, in order, as they show; ``as_they_are`` all of them, unchanged."""
        trials = super().get_all_trials(study_id, deepcopy=deepcopy)
        if not as_they_are:
            level = _level(trials)
            trials = [shown for trial in trials if (shown := self._shown(trial, level)) is not None]
        return trials if states is None else [trial for trial in trials if trial.state in states]

    def _shown(self, trial: FrozenTrial, level: float) -> FrozenTrial | None:
        if not trial.intermediate_values:
            return trial if level == FULL or trial.state is not TrialState.COMPLETE else None
        if level == FULL:
            return trial if trial.state is TrialState.COMPLETE else None
        if level not in trial.intermediate_values:
            return None
        kept = self._copies.get(trial.number)
        if kept is None or kept[0] is not trial or kept[1] != level:
            kept = self._copies[trial.number] = (trial, level, _at(trial, int(level)))
        return kept[2]


def _level(trials: list[FrozenTrial]) -> float:
    """The length whose results show."""
    results: Counter[float] = Counter()
    for trial in trials:
        results.update(trial.intermediate_values.keys())
        results[FULL] += trial.state is TrialState.COMPLETE
    enough = [length for length, number in results.items() if number >= ENOUGH]
    return max(enough) if enough else min((length for length, n in results.items() if n), default=FULL)


def _at(trial: FrozenTrial, length: int) -> FrozenTrial:
    shown: Any = copy.copy(trial)
    value = trial.intermediate_values[length]
    # A trial cannot be complete with NaN; as one that was pruned it ranks last.
    shown.state = TrialState.PRUNED if math.isnan(value) else TrialState.COMPLETE
    shown.values = None if math.isnan(value) else [value]
    return shown  # type: ignore[no-any-return]
