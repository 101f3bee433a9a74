"""How many rows go into one statement: the part of a statement that each kind of database has its own best way for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from sqlalchemy import BigInteger, Boolean, Double, LargeBinary, Table
from sqlalchemy.dialects import postgresql, sqlite

from determined.storage.codec import Row


class Shape(Protocol):
    """One kind of database.

    Attributes:
        insert: its INSERT, which knows what to do with a key that exists.
    """

    insert: Callable[[Any], Any]

    def source(self, table: Table, names: Sequence[str], row: str) -> tuple[str, str]:
        """SQL that stands for the rows: what is always there, and what is added for each row.

        Args:
            row: the placeholders of one row, in parentheses.
        """

    def values(self, table: Table, names: Sequence[str], rows: Sequence[Row]) -> Sequence[Any]:
        """What is bound to the placeholders."""


class ValuesShape:
    """``VALUES (?, ?), (?, ?)``: row after row."""

    insert: Callable[[Any], Any] = staticmethod(sqlite.insert)

    def source(self, table: Table, names: Sequence[str], row: str) -> tuple[str, str]:
        """See ``Shape``."""
        return "VALUES ", row

    def values(self, table: Table, names: Sequence[str], rows: Sequence[Row]) -> Sequence[Any]:
        """See ``Shape``."""
        return tuple(value for row in rows for value in row)


class ArraysShape:
    """``SELECT * FROM unnest(...)``, with an array for each column: one text for any number of rows, prepared once."""

    insert: Callable[[Any], Any] = staticmethod(postgresql.insert)

    def source(self, table: Table, names: Sequence[str], row: str) -> tuple[str, str]:
        """See ``Shape``."""
        arrays = ", ".join(f"%s::{_type_name(table, name)}[]" for name in names)
        return f"SELECT * FROM unnest({arrays})", ""  # noqa: S608 - names of types

    def values(self, table: Table, names: Sequence[str], rows: Sequence[Row]) -> Sequence[Any]:
        """See ``Shape``."""
        columns = map(list, zip(*rows, strict=True))
        return [
            # The driver wants the members of an array to be of one type.
            [v if v is None else float(v) for v in column] if isinstance(table.c[name].type, Double) else column
            for name, column in zip(names, columns, strict=True)
        ]


def _type_name(table: Table, name: str) -> str:
    kind = table.c[name].type
    return next((text for known, text in _TYPES if isinstance(kind, known)), "text")


_TYPES: Final = ((BigInteger, "bigint"), (Boolean, "boolean"), (Double, "double precision"), (LargeBinary, "bytea"))

SHAPES: Final[Mapping[str, Shape]] = {"sqlite": ValuesShape(), "postgresql": ArraysShape()}
