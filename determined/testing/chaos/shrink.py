"""Makes a failing schedule shorter.

Source: Zeller and Hildebrandt, Simplifying and isolating failure-inducing input, 2002, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def shrink(items: Sequence[T], fails: Callable[[Sequence[T]], bool], most: int) -> list[T]:
    """A part of ``items``, in the same order, that still fails.

    Args:
        fails: called at most ``most`` times, never with all of the items.
    """
    left, parts = list(items), 2
    while len(left) > 1 and most > 0:
        size = -(-len(left) // parts)
        for begin in range(0, len(left), size):
            without = left[:begin] + left[begin + size :]
            if most <= 0:
                break
            most -= 1
            if fails(without):
                left, parts = without, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(len(left), 2 * parts)
    return left
