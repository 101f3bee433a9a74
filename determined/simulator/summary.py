"""A result in a few lines of text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from determined.simulator.result import SimulationResult

_WIDTH = 14


def summary_of(result: SimulationResult) -> str:
    """What came of it, aligned in two columns."""
    why = f" ({result.message})" if result.message else ""
    outcomes = Counter(trial.outcome for trial in result.trials)
    rows = {
        "outcome": f"{result.outcome}{why}",
        "best": _best(result),
        "trials": f"{len(result.trials)} ({_counts(outcomes)})" if result.trials else "0",
        "by length": ", ".join(f"{length}: {number}" for length, number in result.trials_by_length().items()),
        "units": f"{result.units:g}",
        "time": f"{result.time:g}, workers {result.utilisation:.1%} in use",
        "restarts": f"{sum(t.restarts for t in result.trials)}, runs lost {sum(t.losses for t in result.trials)}",
        "reports": f"{result.reports}",
        "events": _counts(result.events),
        "operations": _counts(result.operations),
    }
    return "\n".join(f"{name:<{_WIDTH}}{text}".rstrip() for name, text in rows.items())


def _best(result: SimulationResult) -> str:
    best, trial = result.best, result.best_trial
    if best is None or trial is None:
        return "none"
    point = json.dumps(trial.hparams, sort_keys=True)
    return f"{best.metric:g} at length {best.length}, time {best.time:g}: trial {trial.trial_id} {point}"


def _counts(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items())
