"""How large the saved state of a method is, and whether that grows faster than the number of trials."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from determined.domain.search_method import SearcherState, SearchMethod
from determined.searcher import method as saving

_LINEAR = 2.0
"""Growth by more than this times the growth of the search is more than linear; a logarithm beside it is not."""


def saved_bytes(method: SearchMethod, state: SearcherState, folder: Path) -> int | None:
    """Size of what a method saves of itself; None for one that is found again from its events, or cannot be saved.

    Args:
        folder: for temporary files.
    """
    if saving.is_found_from_events(method):
        return None
    where = Path(tempfile.mkdtemp(dir=folder))
    try:
        saving.save_into(method, state, where, 1)
        return sum(file.stat().st_size for file in where.rglob("*") if file.is_file())
    except Exception:
        # That is a fault of its own, which worlds with reloads find and tell.
        return None
    finally:
        shutil.rmtree(where)


def growth_note(trials: tuple[int, int], sizes: tuple[int | None, int | None]) -> str | None:
    """What to say about the saved states of two searches; None when they grow no faster than the number of trials."""
    small, large = sizes
    if not small or not large or large / small <= _LINEAR * trials[1] / trials[0]:
        return None
    return (
        f"the saved state grows faster than the number of trials: {small:,} bytes after {trials[0]} trials, "
        f"{large:,} after {trials[1]}. It is written again and again; keep in it what later answers depend on."
    )
