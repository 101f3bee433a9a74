"""The collector of cycles while a simulation grows."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_NEVER = 2**31 - 1


@contextmanager
def only_young_collected() -> Iterator[None]:
    """Have no full collections meanwhile.

    What a simulation makes stays to its end, so each full collection would go over all of it and find nothing. Cycles
    that a search method or a curve makes and drops are young, and collected as ever.
    """
    before = gc.get_threshold()
    gc.set_threshold(*before[:2], _NEVER)
    try:
        yield
    finally:
        gc.set_threshold(*before)
