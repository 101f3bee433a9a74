"""Free-form JSON values that may hold non-finite numbers, which JSON itself cannot say.

On the wire and in the store they are the strings "NaN", "Infinity" and "-Infinity"; inside they are floats.
"""

from __future__ import annotations

import math
from typing import Any

_FROM_TEXT = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def protect(value: Any) -> Any:
    """The value with each non-finite float as its string; the value itself where there is none."""
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, dict):
        return {k: protect(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [protect(v) for v in value]
    return value


def restore(value: Any) -> Any:
    """The value with those strings as floats again; undoes ``protect``."""
    if isinstance(value, str):
        return _FROM_TEXT.get(value, value)
    if isinstance(value, dict):
        return {k: restore(v) for k, v in value.items()}
    if isinstance(value, list):
        return [restore(v) for v in value]
    return value
