"""Checks of what built-in methods are made with, and of the metrics that they are told."""

from __future__ import annotations

import math
import numbers
from fractions import Fraction
from typing import Any

from determined.errors import InvalidInput

_MAX_LOG_LENGTH = 63 * math.log(2)


def at_least(least: int, **arguments: object) -> None:
    """Refuse whole numbers that are too small.

    Raises:
        InvalidInput: one of the arguments is no whole number from ``least``; the message names it.
    """
    for name, value in arguments.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InvalidInput(f"{name} must be a whole number of at least {least}, got {value!r:.80}")


def check_flags(**arguments: object) -> None:
    """Refuse what is neither True nor False; a text would count as true.

    Raises:
        InvalidInput: the message names the argument.
    """
    for name, value in arguments.items():
        if not isinstance(value, bool):
            raise InvalidInput(f"{name} must be True or False, got {value!r:.80}")


def whole_seed(seed: Any) -> int:
    """A seed as Python's int; NumPy's whole numbers are as good.

    Raises:
        InvalidInput: it is no whole number.
    """
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral):
        raise InvalidInput(f"seed must be a whole number, got {seed!r:.80}")
    return int(seed)


def check_divisor(divisor: object) -> None:
    """Refuse a divisor that does not divide.

    Raises:
        InvalidInput: it is no number between 1 and 2**63.
    """
    if not isinstance(divisor, (int, float)) or not 1 < divisor < 2**63:
        raise InvalidInput(f"divisor must be a number greater than 1, got {divisor!r:.80}")


def exact(number: float) -> Fraction:
    """The number that was written: 1.1 is eleven tenths, not the float next to it."""
    return Fraction(str(number))


def check_rungs(num_rungs: int, divisor: float) -> None:
    """Refuse more rungs than any length can be divided into.

    Raises:
        InvalidInput: there are too few rungs, or the lowest has nothing to train, however long the longest length is.
    """
    at_least(1, num_rungs=num_rungs)
    if (num_rungs - 1) * math.log(divisor) > _MAX_LOG_LENGTH:
        raise InvalidInput(
            f"{num_rungs} rungs with divisor {divisor:g} leave nothing to train in the lowest; use fewer"
        )


def number_of(metric: Any) -> float:
    """A metric as a float; one that is too large for a float becomes infinite.

    Raises:
        InvalidInput: it is no number.
    """
    if type(metric) is float:
        return metric
    if not _is_number(metric):
        raise InvalidInput(
            f"a trial completed its operation with the metric {metric!r:.80}; this search method ranks trials by a "
            "number: call report_completed with a float"
        )
    try:
        return float(metric)
    except OverflowError:
        return math.inf if metric > 0 else -math.inf


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
