"""Our search spaces as Optuna sees them: a point is suggested name by name, so conditional parts come out right."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

from determined.domain.hparams import (
    Categorical,
    Choice,
    Const,
    Double,
    Hyperparameter,
    Int,
    Log,
    LogDouble,
    LogInt,
    Space,
)

_PLAIN = (bool, int, float, str)


class Suggesting(Protocol):
    """What is needed of an ``optuna.Trial``."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A real number."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """A whole number, both ends included."""

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """One of several plain values."""


def suggest(trial: Suggesting, space: Space) -> dict[str, Any]:
    """A point of the space, each value suggested by an Optuna trial, in the order of the names.

    A parameter is named after its place: ``lr``, ``model.layers`` inside of a group, ``optimizer[0].momentum`` inside
    of the first option of a choice. Constants are no parameters. Values that Optuna cannot tell apart or cannot hold,
    and the options of a choice, are suggested by their index.
    """
    return {name: _suggest(trial, _escaped(name), member) for name, member in space}


def _suggest(trial: Suggesting, name: str, member: Hyperparameter) -> Any:
    if isinstance(member, Space):
        return {inner: _suggest(trial, f"{name}.{_escaped(inner)}", value) for inner, value in member}
    if isinstance(member, Choice):
        index = trial.suggest_categorical(name, tuple(range(len(member.options))))
        return _suggest(trial, f"{name}[{index}]", member.options[index])
    if isinstance(member, Categorical):
        if are_plain(member.vals):
            return trial.suggest_categorical(name, member.vals)
        return member.axis_point(trial.suggest_categorical(name, tuple(range(len(member.vals)))))
    if isinstance(member, Const):
        return member.axis_point(0)
    if isinstance(member, (Int, LogInt)):
        return trial.suggest_int(name, member.minval, member.maxval, log=isinstance(member, LogInt))
    low, high = _ends(member)
    return trial.suggest_float(name, low, high, log=isinstance(member, (Log, LogDouble)))


def are_plain(values: tuple[Any, ...]) -> bool:
    """Whether Optuna can hold the values themselves: None and scalars, no two of them equal (1, 1.0 and True are)."""
    return all(v is None or isinstance(v, _PLAIN) for v in values) and len(set(values)) == len(values)


def flaws(space: Space) -> Mapping[str, str]:
    """What Optuna cannot draw from, by the name that the parameter would have."""
    found: dict[str, str] = {}
    for name, member in space:
        _look(member, _escaped(name), found)
    return found


def _look(member: Hyperparameter, name: str, found: dict[str, str]) -> None:
    if isinstance(member, Space):
        for inner, value in member:
            _look(value, f"{name}.{_escaped(inner)}", found)
    elif isinstance(member, Choice):
        for index, option in enumerate(member.options):
            _look(option, f"{name}[{index}]", found)
    elif isinstance(member, Log) and _ends(member)[0] <= 0:
        found[name] = (
            "reaches down to 0, as floating-point numbers go, and Optuna cannot search that; raise its lower end"
        )
    elif isinstance(member, (Double, Log, LogDouble)) and not math.isfinite(_ends(member)[1] - _ends(member)[0]):
        found[name] = "is too wide for Optuna, which needs a finite difference of its ends; narrow it"


def _ends(member: Double | Log | LogDouble) -> tuple[float, float]:
    if isinstance(member, Log):
        ends = (math.pow(member.base, member.minval), math.pow(member.base, member.maxval))
        return min(ends), max(ends)
    return float(member.minval), float(member.maxval)


def _escaped(name: str) -> str:
    """A name in which a dot or a bracket cannot be taken for the separators between names."""
    return name.replace("\\", "\\\\").replace(".", "\\.").replace("[", "\\[")
