"""Looks into the data base of a master, which may be running."""

from __future__ import annotations

from pathlib import Path

from determined.testing.database import opened


def ask(data: Path, query: str) -> list[int]:
    """Numbers from the data base of a data folder."""
    with opened(data) as db:
        return [int(number) for (number,) in db.execute(query)]
