"""How large a configuration may be. What is over a bound is refused with the bound in the message."""

from __future__ import annotations

MAX_BYTES = 2**20
"""A configuration text over 1 MiB is refused."""
MAX_DEPTH = 64
"""Mappings and lists nested deeper than this are refused."""
MAX_VALUES = 50_000
"""A document of more values than this, aliases expanded, is refused; a long text counts as several."""
MAX_DIGITS = 400
"""A longer number is refused: reading it would take time, and no field needs it."""
MAX_PROBLEMS = 100
"""No more problems than this are listed."""
MAX_NAME = 255
"""Names, labels, keys of hyperparameters."""
MAX_TEXT = 65_536
"""Descriptions, commands, values of environment variables."""
MAX_RUNGS = 1_000
"""Rungs of successive halving."""
MAX_POPULATION = 10_000
"""Members of a population that train at the same time."""
MAX_INT32 = 2**31 - 1
MAX_INT64 = 2**63 - 1
MIN_INT64 = -(2**63)

_CHARS_PER_VALUE = 32


def weight_of(text: str) -> int:
    """How many values a text counts for."""
    return 1 + len(text) // _CHARS_PER_VALUE
