"""Where a study keeps its trials; imported only by whoever uses Optuna, because its class derives from Optuna's."""

from __future__ import annotations

import copy
import math
from collections.abc import Container
from typing import Any

from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState


class Storage(InMemoryStorage):
    """Trials of one study in memory. One that is under way and has results shows as pruned where it was last.

    Samplers learn nothing from a running trial. With rungs, though, a trial may wait long for its promotion, or train
    for long after it, and what it reached before is worth knowing meanwhile.
    """

    study_id = 0

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        as_they_are: bool = False,
    ) -> list[FrozenTrial]:
        """The trials, in order; ``as_they_are`` without that change."""
        trials = super().get_all_trials(study_id, deepcopy=deepcopy)
        if not as_they_are:
            trials = [_shown(trial) for trial in trials]
        return trials if states is None else [trial for trial in trials if trial.state in states]


def _shown(trial: FrozenTrial) -> FrozenTrial:
    if trial.state is not TrialState.RUNNING or not trial.intermediate_values:
        return trial
    shown: Any = copy.copy(trial)
    shown.state = TrialState.PRUNED
    value = trial.intermediate_values[max(trial.intermediate_values)]
    shown.value = None if math.isnan(value) else value
    return shown  # type: ignore[no-any-return]
