"""Rows that wait to be written together, in an order that gives what one statement after another would have given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from determined.storage.codec import Row
from determined.storage.statements import Repeat, Statement

_MAX_VALUES: Final = 16_000
"""Values in one statement; SQLite's and PostgreSQL's own limits are about twice that."""


class RowsMissing(Exception):
    """A change did not find the row that it was meant for."""


class Batch:
    """The pending rows of one transaction."""

    def __init__(self, conn: Connection) -> None:
        self.conn: Final = conn
        self._each: dict[Statement, list[Row]] = {}
        self._keyed: dict[Statement, dict[Any, Row]] = {}
        self._touched: dict[str, dict[Any, int]] = {}

    def add(self, statement: Statement, row: Row, owner: tuple[str, int] | None = None) -> None:
        """Plan one row of a statement. ``owner``: table and id of the row that this one belongs to."""
        key = row[0] if statement.key == 1 else row[: statement.key]
        touched = self._touched.setdefault(statement.table, {})
        rank = touched.get(key, -1)
        if rank > statement.rank or (rank >= 0 and statement.repeat is Repeat.APART):
            self.flush()
            touched = self._touched.setdefault(statement.table, {})
            rank = -1
        touched[key] = max(rank, statement.rank)
        if owner is not None:
            self.use(*owner)
        if statement.repeat is Repeat.EACH:
            self._each.setdefault(statement, []).append(row)
            return
        rows = self._keyed.setdefault(statement, {})
        if statement.repeat is Repeat.SUM and key in rows:
            row = (key, *(a + b for a, b in zip(rows[key][1:], row[1:], strict=True)))
        rows[key] = row

    def use(self, table: str, key: int) -> None:
        """A pending row depends on this one, which therefore must not appear later than it."""
        touched = self._touched.setdefault(table, {})
        if touched.get(key, -1) < 1:
            touched[key] = 1

    def settle(self, table: str, key: Any) -> None:
        """Write what is pending if any of it touches this row, so that the row can be read."""
        if key in self._touched.get(table, ()):
            self.flush()

    def flush(self) -> None:
        """Write everything.

        Raises:
            RowsMissing: see there.
            sqlalchemy.exc.DBAPIError: whatever the database says.
        """
        plans: list[tuple[Statement, Sequence[Row]]] = [*self._each.items()]
        plans += [(statement, list(rows.values())) for statement, rows in self._keyed.items()]
        self._each.clear()
        self._keyed.clear()
        self._touched.clear()
        for statement, rows in sorted(plans, key=lambda plan: plan[0].place):
            self._write(statement, rows)

    def _write(self, statement: Statement, rows: Sequence[Row]) -> None:
        # Straight to the driver: for a single unit, SQLAlchemy's own path costs as much as the sync to the disk.
        dialect = self.conn.dialect
        cursor = self.conn.connection.cursor()
        for part in _parts(rows, max(1, _MAX_VALUES // statement.width)):
            sql, bound = statement.call(dialect, part)
            try:
                cursor.execute(sql, bound)
            except dialect.loaded_dbapi.Error as error:
                raise DBAPIError.instance(
                    sql, None, error, dialect.loaded_dbapi.Error, hide_parameters=True, dialect=dialect
                ) from error
            if statement.exact and cursor.rowcount != len(part):
                raise RowsMissing(statement.table)
        cursor.close()


def _parts(rows: Sequence[Row], size: int) -> Iterable[Sequence[Row]]:
    return (rows[i : i + size] for i in range(0, len(rows), size))
