"""Help for tests: contract suites and stand-ins for the other side of a wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from determined.workshop.check import CheckFailed, CheckReport, check_cost, check_search_method, replay_story

__all__ = ["CheckFailed", "CheckReport", "check_cost", "check_search_method", "replay_story"]


def __getattr__(name: str) -> Any:
    # Small processes import members of this package, and pay only for what they use.
    if name in __all__:
        from determined.workshop import check

        return getattr(check, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
