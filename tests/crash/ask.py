"""Looks into the data base of a master, which may be running."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def ask(data: Path, query: str) -> list[int]:
    """Numbers from the data base of a data folder."""
    with closing(sqlite3.connect(f"file:{data / 'master.db'}?mode=ro", uri=True)) as db:
        return [int(number) for (number,) in db.execute(query)]
