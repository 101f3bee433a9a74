"""Looks into the database of a master in a test, which may be running: a file of SQLite, or one on PostgreSQL."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

URL_FILE = "database.url"
"""Beside the folder of the data of a master of a test: where its database is, if not in that folder."""


class Rows(Protocol):
    """What a query gives."""

    def fetchall(self) -> list[Any]: ...

    def fetchone(self) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...


class Database(Protocol):
    """A connection that reads; parameters are written as ``?``."""

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Rows: ...


@contextlib.contextmanager
def opened(where: Path) -> Iterator[Database]:
    """The database of a master's data folder, or a file of SQLite."""
    note = where.parent / URL_FILE
    if note.exists():
        from determined.testing.postgres import connect

        with connect(note.read_text()) as connection:
            yield _Postgres(connection)
    else:
        file = where / "master.db" if where.is_dir() else where
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
            yield db


class _Postgres:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Rows:
        rows: Rows = self._connection.execute(sql.replace("?", "%s"), parameters or None)
        return rows


def note_url(folder: Path, url: str | None) -> None:
    """Remember for ``opened`` where the database of a master in ``folder / "data"`` is."""
    if url is not None:
        (folder / URL_FILE).write_text(url)
