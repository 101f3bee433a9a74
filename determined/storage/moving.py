"""A whole database at a time, while no master uses it: brought up to date, or copied into another of any kind."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection, Engine, Table, delete, select
from sqlalchemy.exc import DBAPIError

from determined import files
from determined.errors import CorruptState, FailedPrecondition, NotFound
from determined.steps import step
from determined.storage.backend import Backend, backend_for
from determined.storage.migrations import HEAD
from determined.storage.schema import bring_up_to_date, current_revision
from determined.storage.tables import metadata

BATCH: Final = 2_000
"""Rows in memory at a time."""


class Copied(NamedTuple):
    """One table.

    Attributes:
        digest: SHA-256 of its rows in the order of their key, the same for both sides.
    """

    table: str
    rows: int
    digest: str


def migrate(url: str) -> tuple[str | None, str]:
    """Bring a database to the newest schema, or make one in a database that is empty.

    Returns:
        The version that it had, None for none, and the one that it has now.

    Raises:
        NotFound: there is no such file.
        StorageFailed: it cannot be opened.
        CorruptState: it is of a newer version, or of another program.
        FailedPrecondition: a master uses it.
    """
    backend = backend_for(url)
    _check_exists(backend)
    with _alone(backend) as engine, files.action("db.migrate"), engine.begin() as conn:
        before = current_revision(conn)
        backend.prepare(conn)
        bring_up_to_date(conn)
    return before, HEAD


def copy(
    source: str, target: str, *, overwrite: bool = False, on_table: Callable[[Copied], None] = lambda table: None
) -> list[Copied]:
    """Copy every table, in one transaction on each side; what was written is read back and compared.

    Killed at any point it leaves the target as it was, or with all of the copy. Where there was no target there is then
    none, or one without a schema, which ``check`` reports; the same copy can be made again.

    Args:
        source, target: URLs.
        overwrite: remove what the target holds; else it must be empty.
        on_table: called for each table when it is done.

    Raises:
        NotFound, StorageFailed, CorruptState, FailedPrecondition: as for ``migrate``, of either side.
        FailedPrecondition: the target is not empty, is the source, or the source is of an older version.
        CorruptState: what was read back differs from what was written; nothing was kept.
    """
    reading, writing = backend_for(source), backend_for(target)
    if reading.shown == writing.shown:
        raise FailedPrecondition(f"{reading.shown} cannot be copied into itself; name another target with --to")
    _check_exists(reading)
    with _alone(reading), _alone(writing) as engine, contextlib.closing(_Reader(reading)) as reader:
        before = current_revision(reader.conn)
        if before != HEAD:
            raise FailedPrecondition(
                f"{reading.shown} has schema version {before}, not {HEAD}; run `det db migrate` on it first"
            )
        with engine.begin() as conn:
            with files.action("db.copy.schema"):
                writing.prepare(conn)
                bring_up_to_date(conn)
                _make_room(conn, writing, overwrite)
            copied = [_copy_table(reader.conn, conn, table, on_table) for table in metadata.sorted_tables]
            step("db.copy.commit.before")
        step("db.copy.commit.after")
        return copied


def _check_exists(backend: Backend) -> None:
    if not backend.exists():
        raise NotFound(f"there is no database {backend.shown}")


@contextlib.contextmanager
def _alone(backend: Backend) -> Iterator[Engine]:
    with backend.without_master(), _explained(backend):
        engine = backend.writer()
        try:
            yield engine
        finally:
            engine.dispose()


@contextlib.contextmanager
def _explained(backend: Backend) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise backend.unopened(error) from error


class _Reader:
    """A connection that sees one moment."""

    def __init__(self, backend: Backend) -> None:
        self._engine: Final = backend.readers(1)
        self.conn: Final = self._engine.connect()

    def close(self) -> None:
        self.conn.close()
        self._engine.dispose()


def _make_room(conn: Connection, backend: Backend, overwrite: bool) -> None:
    full = [table for table in metadata.sorted_tables if conn.execute(select(table).limit(1)).first() is not None]
    if full and not overwrite:
        raise FailedPrecondition(
            f"the database {backend.shown} is not empty (there are rows in {', '.join(t.name for t in full)}); "
            "name an empty one, or give --overwrite to remove what it holds"
        )
    for table in reversed(full):
        conn.execute(delete(table))


def _copy_table(source: Connection, target: Connection, table: Table, on_table: Callable[[Copied], None]) -> Copied:
    read = Digest()
    with files.action("db.copy.table"):
        for rows in _batches(source, table):
            read.add(rows)
            target.execute(table.insert(), [dict(row._mapping) for row in rows])
    written = Digest()
    for rows in _batches(target, table):
        written.add(rows)
    if (read.rows, read.text) != (written.rows, written.text):
        raise CorruptState(
            f"the copy of table {table.name} differs: {read.rows} rows with digest {read.text} were read, "
            f"{written.rows} rows with digest {written.text} are in the target; nothing was kept"
        )
    copied = Copied(table.name, read.rows, read.text)
    on_table(copied)
    return copied


def _batches(conn: Connection, table: Table) -> Iterator[list[Any]]:
    query = select(table).order_by(*table.primary_key)
    streamed = conn.execute(query, execution_options={"stream_results": True, "max_row_buffer": BATCH})
    for rows in streamed.partitions(BATCH):
        yield list(rows)


class Digest:
    """Of rows, in their order."""

    def __init__(self) -> None:
        self.rows = 0
        self._hash = hashlib.sha256()

    def add(self, rows: list[Any]) -> None:
        """Take in what comes next."""
        self.rows += len(rows)
        for row in rows:
            self._hash.update(msgspec.msgpack.encode(tuple(row)))

    @property
    def text(self) -> str:
        """Of all so far."""
        return self._hash.hexdigest()
