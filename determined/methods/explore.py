"""Small random changes of a point, which stay in the space that it was drawn from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from determined.domain.hparams import (
    Const,
    Double,
    Hyperparameter,
    Int,
    Log,
    LogDouble,
    LogInt,
    Rng,
    Space,
)

_SHOWN_CHANGES = 8
_SHOWN_CHARS = 60
_MOST_CHARS = 1000


def explore(
    space: Space, point: Mapping[str, Any], rng: Rng, resample_probability: float, perturb_factor: float
) -> dict[str, Any]:
    """A neighbour of a point.

    Each hyperparameter is drawn anew with ``resample_probability``. Else a number is multiplied by
    ``1 + perturb_factor`` or ``1 - perturb_factor``, one as likely as the other, and kept within its bounds; a whole
    number that rounding would leave as it was goes one up or down. Categories and choices are kept.

    Args:
        point: drawn from ``space``.
    Source: Jaderberg et al., Population Based Training of Neural Networks, 2017, section 3 (explore).
    """
    return {
        name: _changed(kind, point[name], rng, resample_probability, perturb_factor)
        for name, kind in space
        if name in point
    }


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What differs, as ``lr 0.1 -> 0.12, size 3 -> 4``; "nothing" for nothing, shortened when it is much."""
    found = list(_differences("", before, after))
    more = [f"{len(found) - _SHOWN_CHANGES} more"] if len(found) > _SHOWN_CHANGES else []
    return ", ".join(found[:_SHOWN_CHANGES] + more)[:_MOST_CHARS] or "nothing"


def _changed(kind: Hyperparameter, value: Any, rng: Rng, resample_probability: float, perturb_factor: float) -> Any:
    if isinstance(kind, Space):
        return explore(kind, value, rng, resample_probability, perturb_factor)
    # Both draws are made each time, so that what happens to one hyperparameter does not shift those of the others.
    anew, up = rng.random() < resample_probability, rng.random() < 0.5
    drawn = kind.draw(rng)
    if isinstance(kind, Const):
        return value
    if anew:
        return drawn
    factor = 1 + perturb_factor if up else 1 - perturb_factor
    if isinstance(kind, (Double, Log, LogDouble)):
        low, high = _bounds(kind)
        return min(max(value * factor, low), high)
    if isinstance(kind, (Int, LogInt)):
        moved = math.floor(value * factor + 0.5)
        if moved == value and perturb_factor:
            moved += 1 if up else -1
        return min(max(moved, kind.minval), kind.maxval)
    return value


def _bounds(kind: Double | Log | LogDouble) -> tuple[float, float]:
    if isinstance(kind, Log):
        ends = (math.pow(kind.base, kind.minval), math.pow(kind.base, kind.maxval))
        return min(ends), max(ends)
    if isinstance(kind, Double) and kind.maxval > kind.minval:
        # The upper bound itself is never drawn.
        return kind.minval, math.nextafter(kind.maxval, kind.minval)
    return kind.minval, kind.maxval


def _differences(prefix: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for name, new in after.items():
        old = before.get(name)
        if isinstance(new, dict) and isinstance(old, Mapping):
            yield from _differences(f"{prefix}{name}.", old, new)
        elif new != old:
            yield f"{prefix}{name:.{_SHOWN_CHARS}} {_shown(old)} -> {_shown(new)}"


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else f"{value!s:.{_SHOWN_CHARS}}"
