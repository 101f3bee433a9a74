"""Trials and random generators of Optuna as JSON-able values, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from determined.methods.rungs import plain

if TYPE_CHECKING:
    import optuna

Distributions = Mapping[str, "optuna.distributions.BaseDistribution"]
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def write_distributions(trials: Iterable[optuna.trial.FrozenTrial]) -> dict[str, str]:
    """The distribution of each parameter, which is the same in all trials that have it."""
    from optuna.distributions import distribution_to_json

    found = {name: kind for trial in trials for name, kind in trial.distributions.items()}
    return {name: distribution_to_json(kind) for name, kind in found.items()}


def read_distributions(saved: Mapping[str, str]) -> Distributions:
    """Undo ``write_distributions``."""
    from optuna.distributions import json_to_distribution

    return {name: json_to_distribution(text) for name, text in saved.items()}


def write_trial(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    """Everything of a trial but its number, its distributions, and when it was."""
    return {
        "state": trial.state.name,
        "value": None if trial.value is None else plain(trial.value),
        "params": dict(trial.params),
        "reports": [(step, plain(value)) for step, value in trial.intermediate_values.items()],
        "attributes": dict(trial.system_attrs),
    }


def read_trial(number: int, saved: Mapping[str, Any], distributions: Distributions) -> optuna.trial.FrozenTrial:
    """Undo ``write_trial``."""
    from optuna.trial import FrozenTrial, TrialState

    state = TrialState[saved["state"]]
    return FrozenTrial(
        number=number,
        state=state,
        value=None if saved["value"] is None else float(saved["value"]),
        datetime_start=_EPOCH,
        datetime_complete=_EPOCH if state.is_finished() else None,
        params=dict(saved["params"]),
        distributions={name: distributions[name] for name in saved["params"]},
        user_attrs={},
        system_attrs=dict(saved["attributes"]),
        intermediate_values={step: float(value) for step, value in saved["reports"]},
        trial_id=number,
    )


def generators(sampler: optuna.samplers.BaseSampler) -> list[Any]:
    """NumPy's legacy generators that a sampler of Optuna draws from, always in the same order."""
    return list(_found(sampler, set()))


def state_of(generator: Any) -> dict[str, Any]:
    """The state of a generator."""
    state = generator.get_state(legacy=False)
    return {**state, "state": {"key": state["state"]["key"].tolist(), "pos": int(state["state"]["pos"])}}


def set_state(generator: Any, saved: Mapping[str, Any]) -> None:
    """Put a generator into a state."""
    import numpy as np

    key = np.asarray(saved["state"]["key"], dtype=np.uint32)
    generator.set_state({**saved, "state": {"key": key, "pos": saved["state"]["pos"]}})


def _found(value: Any, seen: set[int]) -> Iterator[Any]:
    import numpy as np

    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, np.random.RandomState):
        yield value
    elif type(value).__module__.startswith("optuna."):
        for _, inner in sorted(vars(value).items()) if hasattr(value, "__dict__") else ():
            yield from _found(inner, seen)
