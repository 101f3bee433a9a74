"""PostgreSQL: what is different from SQLite, but for who may write (see ``postgres_claim.py``)."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import socket
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Final

import psycopg
import sqlalchemy
from psycopg import errors as pg
from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from determined.errors import CorruptState, DeterminedError, InvalidInput, StorageFailed
from determined.storage.faults import conflict, describe, in_one_line, missing
from determined.storage.postgres_claim import PostgresClaim
from determined.storage.postgres_session import CONNECT, SET

_LOG: Final = logging.getLogger(__name__)
_DURABLE: Final = (
    "SELECT set_config(name, 'on', false) FROM pg_settings WHERE name = 'synchronous_commit' AND setting = 'off'"
)
"""Who asks for more than that, such as a standby's consent, gets it."""
_LETTERS: Final = ("pg_unicode_fast", "und-x-icu", "pg_c_utf8", "C.utf8", "en_US.utf8")
"""Collations that know the letters of all languages; the first that is there counts."""
_AWAY: Final = (
    pg.AdminShutdown,
    pg.CrashShutdown,
    pg.CannotConnectNow,
    pg.IdleSessionTimeout,
    pg.IdleInTransactionSessionTimeout,
    pg.TooManyConnections,
    # A server that has become a standby: the one that took its place may answer next time.
    pg.ReadOnlySqlTransaction,
    # Two sessions of ours can meet while an old one is being ended.
    pg.DeadlockDetected,
    pg.SerializationFailure,
)


class PostgresBackend:
    """PostgreSQL 14 or newer, through psycopg; see ``Backend``."""

    is_local = False
    close_within_s: float | None = 5.0

    def __init__(self, url: URL) -> None:
        self._url: Final = url.set(drivername="postgresql+psycopg")
        self.shown: Final = url.set(drivername="postgresql").render_as_string(hide_password=True)
        self._name: Final = secrets.token_hex(8)
        self._open: Final[weakref.WeakSet[psycopg.Connection[Any]]] = weakref.WeakSet()

    def claim(self, lost: Callable[[str], None]) -> PostgresClaim:
        """See ``Backend``."""
        return PostgresClaim(self._dsn(), self.shown, self._writer_name, lost)

    @contextlib.contextmanager
    def without_master(self) -> Iterator[None]:
        """See ``Backend``."""
        claim = self.claim(lambda why: None)
        claim.take()
        try:
            yield
        finally:
            claim.release()

    def exists(self) -> bool:
        """See ``Backend``. Whether it is there turns out when it is opened."""
        return True

    def damages(self, conn: sqlalchemy.Connection) -> list[str]:
        """See ``Backend``. PostgreSQL checks each page when it is read."""
        return []

    @property
    def _writer_name(self) -> str:
        return f"determined writer {self._name}"

    def _dsn(self) -> str:
        return self._url.set(drivername="postgresql").render_as_string(hide_password=False)

    def writer(self) -> Engine:
        """See ``Backend``."""
        return self._engine(1, self._writer_name, self._prepare_writer)

    def readers(self, count: int) -> Engine:
        """See ``Backend``."""
        return self._engine(count, f"determined reader {self._name}", _prepare_reader)

    def _engine(self, connections: int, name: str, prepare: Callable[[psycopg.Connection[Any]], None]) -> Engine:
        engine = create_engine(
            self._url,
            pool_size=connections,
            max_overflow=0,
            hide_parameters=True,
            connect_args={**CONNECT, "application_name": name},
        )

        @event.listens_for(engine, "connect")
        def on_connect(connection: psycopg.Connection[Any], _: object) -> None:
            self._open.add(connection)
            try:
                connection.execute(SET.encode())
                prepare(connection)
            except psycopg.Error as error:
                connection.close()
                raise DBAPIError.instance(None, None, error, psycopg.Error, dialect=engine.dialect) from error

        return engine

    @staticmethod
    def _prepare_writer(connection: psycopg.Connection[Any]) -> None:
        connection.execute(_DURABLE.encode())
        connection.commit()
        # Whatever the server's defaults are.
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        connection.read_only = False

    def prepare(self, conn: sqlalchemy.Connection) -> None:
        """See ``Backend``.

        Raises:
            CorruptState: the database cannot hold every text.
        """
        encoding = conn.exec_driver_sql("SHOW server_encoding").scalar()
        if encoding != "UTF8":
            raise CorruptState(
                f"the database {self.shown} has the encoding {encoding}; make one with "
                "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
            )
        if conn.exec_driver_sql("SHOW fsync").scalar() != "on":
            _LOG.warning("the server of %s runs with fsync=off: a power cut can destroy everything", self.shown)
        if conn.exec_driver_sql("SELECT to_regprocedure('det_fold(text)')").scalar() is not None:
            return
        found = set(conn.exec_driver_sql("SELECT collname FROM pg_collation").scalars())
        letters = next((name for name in _LETTERS if name in found), "default")
        conn.exec_driver_sql(
            "CREATE FUNCTION det_fold(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT "
            f"""AS 'SELECT lower($1 COLLATE "{letters}")'"""
        )

    def wait_for_others(self, conn: sqlalchemy.Connection, is_patient: bool) -> None:
        """See ``Backend``. Nobody else writes."""

    def is_lost(self, error: BaseException) -> bool:
        """See ``Backend``."""
        cause = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(cause, _AWAY):
            return True
        if isinstance(cause, psycopg.Error) and (cause.sqlstate or "").startswith("08"):
            return True
        # Without a code it does not come from the server: there is no connection, or no more.
        return isinstance(cause, (psycopg.OperationalError, psycopg.InterfaceError)) and cause.sqlstate is None

    def cut(self) -> None:
        """See ``Backend``."""
        for connection in list(self._open):
            with contextlib.suppress(psycopg.Error, OSError), socket.socket(fileno=_copy(connection)) as copy:
                copy.shutdown(socket.SHUT_RDWR)

    def unopened(self, error: DBAPIError) -> DeterminedError:
        """See ``Backend``."""
        if isinstance(error.orig, pg.InsufficientPrivilege):
            return StorageFailed(
                f"cannot set up the database {self.shown}: {in_one_line(error)}; the role must be allowed to make "
                "tables and functions (GRANT CREATE ON SCHEMA public TO ...)"
            )
        return StorageFailed(f"cannot open the database {self.shown}: {in_one_line(error)}")

    def unread(self, error: DBAPIError) -> DeterminedError:
        """See ``Backend``."""
        if isinstance(error.orig, psycopg.DataError):
            return InvalidInput(f"a value of the query is nothing that can be stored: {in_one_line(error)}")
        return StorageFailed(f"the database cannot be read: {in_one_line(error)}")

    def explain(self, error: Exception, mutation: Any) -> DeterminedError:
        """See ``Backend``."""
        cause = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(cause, pg.ForeignKeyViolation):
            return missing(mutation)
        if isinstance(cause, pg.UniqueViolation):
            return conflict(mutation)
        if isinstance(cause, (psycopg.IntegrityError, psycopg.DataError, pg.ProgramLimitExceeded)):
            return InvalidInput(f"cannot {describe(mutation)}: {in_one_line(error)}")
        if isinstance(cause, psycopg.Error):
            number = errno.ENOSPC if isinstance(cause, pg.DiskFull) else errno.EIO
            return StorageFailed(number, f"cannot {describe(mutation)}: {in_one_line(error)}; nothing was stored")
        if isinstance(cause, ValueError | OverflowError):
            return InvalidInput(f"cannot {describe(mutation)}: {cause}")
        _LOG.error("a unit could not be stored", exc_info=error)
        return StorageFailed(f"cannot {describe(mutation)}: {type(error).__name__}: {error}; nothing was stored")


def _prepare_reader(connection: psycopg.Connection[Any]) -> None:
    connection.commit()
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True


def _copy(connection: psycopg.Connection[Any]) -> int:
    return os.dup(connection.fileno())
