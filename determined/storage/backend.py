"""What differs between databases, in one place: connections, how a transaction begins, and what errors mean."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
from pathlib import Path
from typing import Any, Final, Protocol

import psutil
import sqlalchemy
from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError

from determined import files
from determined.errors import DeterminedError, InvalidInput, StorageFailed
from determined.storage.faults import conflict, describe, missing

_LOG: Final = logging.getLogger(__name__)
BUSY_S = 5.0
"""How long a transaction waits for other programs that use the file."""
_OLDEST_SQLITE: Final = (3, 35, 0)
_NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "afs", "ceph", "glusterfs", "9p"})


class Backend(Protocol):
    """One kind of database."""

    def writer(self) -> Engine:
        """An engine whose transactions exclude other writers from their start."""

    def readers(self, count: int) -> Engine:
        """An engine for at most ``count`` connections, whose transactions see one moment and can write nothing."""

    def explain(self, error: Exception, mutation: Any) -> DeterminedError:
        """What an error of the database means for what was to be stored."""


def backend_for(url: str) -> Backend:
    """The backend of a URL.

    Raises:
        InvalidInput: none is known for it.
    """
    try:
        parsed = make_url(url)
    except sqlalchemy.exc.ArgumentError as error:
        raise InvalidInput(f"{url!r} is not the URL of a database (for example sqlite:///path/to/file)") from error
    if parsed.get_backend_name() != "sqlite":
        name = parsed.get_backend_name()
        raise InvalidInput(f"databases of the kind {name!r} are not supported (allowed: sqlite:///path/to/file)")
    if parsed.database in (None, "", ":memory:"):
        raise InvalidInput("a database needs a file: sqlite:///path/to/file (MemoryStore is for runs without one)")
    return SqliteBackend(parsed)


_LOG_PAGES = 8000
"""So many pages of the write-ahead log are copied into the database at once, and a commit waits for that.

Under load the same pages are written again and again, and are copied once; so the more, the less is copied in all. A
master reads the 32 MB in 0.1 s when it starts after a crash.
"""


class SqliteBackend:
    """SQLite in a file: write-ahead log, every commit synced."""

    def __init__(self, url: URL) -> None:
        self._url: Final = url
        self._path: Final = Path(url.database or "")

    def writer(self) -> Engine:
        """See ``Backend``.

        Raises:
            StorageFailed: the file cannot be created, or the SQLite library is too old.
        """
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            oldest = ".".join(map(str, _OLDEST_SQLITE))
            raise StorageFailed(f"SQLite {sqlite3.sqlite_version} is too old (at least {oldest} is needed)")
        self._create_file()
        _warn_of_network(self._path)
        engine = self._engine(1, "BEGIN IMMEDIATE")

        @event.listens_for(engine, "connect")
        def prepare(connection: sqlite3.Connection, _: object) -> None:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA cache_size = -32000")
            connection.execute(f"PRAGMA journal_size_limit = {64 << 20}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")

        return engine

    def readers(self, count: int) -> Engine:
        """See ``Backend``."""
        engine = self._engine(count, "BEGIN")

        @event.listens_for(engine, "connect")
        def prepare(connection: sqlite3.Connection, _: object) -> None:
            connection.execute("PRAGMA query_only = ON")
            # SQLite's own knows the letters of ASCII only.
            connection.create_function("lower", 1, _lower, deterministic=True)

        return engine

    def _engine(self, connections: int, begin: str) -> Engine:
        engine = create_engine(
            self._url,
            pool_size=connections,
            max_overflow=0,
            hide_parameters=True,
            connect_args={"timeout": BUSY_S, "check_same_thread": False},
        )

        @event.listens_for(engine, "connect")
        def no_own_transactions(connection: sqlite3.Connection, _: object) -> None:
            # The driver would begin late, and only for some statements.
            connection.isolation_level = None

        @event.listens_for(engine, "begin")
        def begin_transaction(connection: sqlalchemy.Connection) -> None:
            connection.exec_driver_sql(begin)

        return engine

    def _create_file(self) -> None:
        # Logins and password hashes are inside: for the owner's eyes only. SQLite's side files get the same mode.
        try:
            with files.action("store.create"):
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
                # SQLite answers from commits that a process wrote, but died before it synced them.
                log = self._path.with_name(f"{self._path.name}-wal")
                if log.exists():
                    files.sync(log)
                files.settle(self._path.parent)
        except OSError as error:
            raise StorageFailed(f"cannot open the database {self._path}: {error.strerror}") from error

    def explain(self, error: Exception, mutation: Any) -> DeterminedError:
        """See ``Backend``."""
        if isinstance(error, IntegrityError):
            if "FOREIGN KEY" in str(error.orig):
                return missing(mutation)
            if "UNIQUE" in str(error.orig):
                return conflict(mutation)
            return InvalidInput(f"cannot {describe(mutation)}: {error.orig}")
        if isinstance(error, DBAPIError):
            number = errno.ENOSPC if "full" in str(error.orig) else errno.EIO
            return StorageFailed(number, f"cannot {describe(mutation)}: {error.orig}; nothing was stored")
        if isinstance(error, ValueError | OverflowError):
            return InvalidInput(f"cannot {describe(mutation)}: {error}")
        _LOG.error("a unit could not be stored", exc_info=error)
        return StorageFailed(f"cannot {describe(mutation)}: {type(error).__name__}: {error}; nothing was stored")


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()


def _warn_of_network(path: Path) -> None:
    real = path.resolve()
    mounts = [m for m in psutil.disk_partitions(all=True) if real.is_relative_to(m.mountpoint)]
    mount = max(mounts, key=lambda m: len(m.mountpoint), default=None)
    if mount is not None and mount.fstype in _NETWORK:
        _LOG.warning(
            "the database %s is on a network file system (%s), where SQLite can lose data; "
            "choose a folder on a local disk",
            path,
            mount.fstype,
        )
