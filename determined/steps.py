"""Named steps: the points at which a test may kill this process to see what survives.

Every durable action passes ``step`` with a name of its own. Nobody listens in normal life, and then a step costs
one comparison.
"""

from __future__ import annotations

from collections.abc import Callable

hook: Callable[[str], None] | None = None
"""Called with the name of each step, when set. It may raise, or end the process."""


def step(name: str) -> None:
    """Say that execution has come to the named point."""
    if hook is not None:
        hook(name)
