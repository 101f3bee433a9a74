"""Small parts of which the queries are made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, Table, bindparam, func, select

from determined.errors import NotFound
from determined.storage.codec import Codec, R
from determined.storage.orders import window
from determined.storage.protocol import Order, Page

Id = TypeVar("Id", int, str)

_CHUNK: Final = 10_000


def find(conn: Connection, codec: Codec[R], *where: ColumnElement[bool]) -> R | None:
    """The one record that matches."""
    row = conn.execute(select(codec.table).where(*where)).first()
    return None if row is None else codec.decode(row)


def get(conn: Connection, what: str, codec: Codec[R], key: object) -> R:
    """The record with this primary key.

    Raises:
        NotFound: there is none.
    """
    found = find(conn, codec, next(iter(codec.table.primary_key)) == key)
    if found is None:
        raise NotFound(f"{what} {key} not found")
    return found


def fetch(conn: Connection, codec: Codec[R], query: Select[Any]) -> list[R]:
    """The records that a query gives, whose first columns are those of the table."""
    return [codec.decode(row) for row in conn.execute(query)]


def count(conn: Connection, table: Table, *where: ColumnElement[bool]) -> int:
    """How many rows match."""
    return conn.execute(select(func.count()).select_from(table).where(*where)).scalar_one()


def page_of(query: Select[Any], page: Page, total: int) -> tuple[int, Select[Any]]:
    """Where the page starts, and the query for its rows alone."""
    start, rows = window(page, total)
    return start, query.limit(rows).offset(start)


def sorted_by(query: Select[Any], key: Any, row_id: Any, order: Order) -> Select[Any]:
    """Sort; ties by id, rows without a value last."""
    if key is row_id:
        return query.order_by(row_id.desc() if order.descending else row_id.asc())
    direction = key.desc() if order.descending else key.asc()
    return query.order_by(direction.nulls_last(), row_id)


def one_of(column: Any, allowed: Any) -> list[ColumnElement[bool]]:
    """A condition that the column has one of these values; none for no values."""
    values = [getattr(value, "value", value) for value in allowed]
    return [column.in_(values)] if values else []


def in_chunks(ids: Sequence[Id]) -> Iterator[Sequence[Id]]:
    """The ids, without repeats and ascending, in portions that fit into one statement."""
    distinct = sorted(set(ids))
    return (distinct[i : i + _CHUNK] for i in range(0, len(distinct), _CHUNK))


def any_id(ids: Sequence[int]) -> Any:
    """The ids for use behind IN; written into the statement, since there may be more than it can have parameters."""
    return bindparam(None, value=list(ids), type_=BigInteger, expanding=True, literal_execute=True)


def holds(column: Any, text: str) -> list[ColumnElement[bool]]:
    """A condition that the column contains the text in upper or lower case; none for no text.

    Every backend brings the function, since databases differ in the letters that they know.
    """
    return [func.det_fold(column).contains(text.lower(), autoescape=True)] if text else []
