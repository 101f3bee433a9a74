"""What counts as a metric: one number, whoever made it."""

from __future__ import annotations

import math
import numbers
from typing import Any


def number_in(value: Any) -> float | None:
    """The Python number that a value is; None if it is none.

    Numbers of NumPy and other libraries, and their arrays of a single number, know themselves as Python numbers through
    ``item()``. An int stays one, except that one which is too large for a float becomes infinite.
    """
    if not isinstance(value, (int, float)) and hasattr(value, "item"):
        try:
            value = value.item()
        except (TypeError, ValueError):
            return None
    if not _is_real(value):
        return None
    try:
        as_float = float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    return int(value) if isinstance(value, int) else as_float


def _is_real(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
