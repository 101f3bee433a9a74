"""What differs between databases, in one place: connections, how a transaction begins, and what errors mean."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Protocol

import psutil
import sqlalchemy
from filelock import FileLock, Timeout
from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError

from determined import files
from determined.errors import CorruptState, DeterminedError, FailedPrecondition, InvalidInput, StorageFailed
from determined.storage.claim import Claim, Unclaimed
from determined.storage.faults import conflict, describe, missing

_LOG: Final = logging.getLogger(__name__)
BUSY_S = 5.0
"""How long a transaction waits for other programs that use the file."""
_OLDEST_SQLITE: Final = (3, 35, 0)
_NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "afs", "ceph", "glusterfs", "9p"})


_POSTGRES: Final = frozenset({"postgresql", "postgres"})
_ALLOWED: Final = "sqlite:///path/to/file, postgresql://user:password@host/database"


class Backend(Protocol):
    """One kind of database.

    Attributes:
        shown: its URL for people, without the password.
        close_within_s: how long to wait for the database when the store is closed, before ``cut``; None for ever.
        is_local: a commit waits for a disk of this machine, and for nobody else.
    """

    @property
    def shown(self) -> str: ...

    @property
    def close_within_s(self) -> float | None: ...

    @property
    def is_local(self) -> bool: ...

    def claim(self, lost: Callable[[str], None]) -> Claim:
        """What makes this process the only writer. ``lost`` hears from any thread why it is that no more."""

    def without_master(self) -> AbstractContextManager[None]:
        """Keep masters off meanwhile, without becoming the writer.

        Raises:
            FailedPrecondition: one uses the database.
        """

    def exists(self) -> bool:
        """False when it is plainly not there."""

    def damages(self, conn: sqlalchemy.Connection) -> list[str]:
        """What the database itself finds wrong with it, a sentence each."""

    def prepare(self, conn: sqlalchemy.Connection) -> None:
        """Set up what queries need beside the tables, in the writer's transaction."""

    def writer(self) -> Engine:
        """An engine whose transactions exclude other writers from their start."""

    def readers(self, count: int) -> Engine:
        """An engine for at most ``count`` connections, whose transactions see one moment and can write nothing."""

    def explain(self, error: Exception, mutation: Any) -> DeterminedError:
        """What an error of the database means for what was to be stored."""

    def unopened(self, error: DBAPIError) -> DeterminedError:
        """What it means for a database that is being opened."""

    def unread(self, error: DBAPIError) -> DeterminedError:
        """What it means for a query."""

    def wait_for_others(self, conn: sqlalchemy.Connection, is_patient: bool) -> None:
        """Whether the writer's transactions wait for other programs from now on, or fail at once."""

    def is_lost(self, error: BaseException) -> bool:
        """Whether the database went away, so that the same on a new connection may succeed."""

    def cut(self) -> None:
        """Break every connection, so that whoever waits for the database waits no more."""


def backend_for(url: str) -> Backend:
    """The backend of a URL.

    Raises:
        InvalidInput: none is known for it.
    """
    try:
        parsed = make_url(url)
    except sqlalchemy.exc.ArgumentError as error:
        # What was meant as a URL may hold a password.
        raise InvalidInput(f"this is not the URL of a database (allowed: {_ALLOWED})") from error
    kind = parsed.get_backend_name()
    if kind in _POSTGRES:
        return _postgres(parsed)
    if kind != "sqlite":
        raise InvalidInput(f"databases of the kind {kind!r} are not supported (allowed: {_ALLOWED})")
    if parsed.database in (None, "", ":memory:"):
        raise InvalidInput("a database needs a file: sqlite:///path/to/file (MemoryStore is for runs without one)")
    return SqliteBackend(parsed)


def _postgres(url: URL) -> Backend:
    if not url.database:
        raise InvalidInput("the URL names no database: postgresql://user:password@host/database")
    try:
        from determined.storage.postgres import PostgresBackend
    except ImportError as error:
        raise InvalidInput(
            f"databases on PostgreSQL need its driver ({error}): pip install 'determined-search[postgres]'"
        ) from error
    return PostgresBackend(url)


_LOG_PAGES = 8000
"""So many pages of the write-ahead log are copied into the database at once, and a commit waits for that.

Under load the same pages are written again and again, and are copied once; so the more, the less is copied in all. A
master reads the 32 MB in 0.1 s when it starts after a crash.
"""


class SqliteBackend:
    """SQLite in a file: write-ahead log, every commit synced."""

    close_within_s: float | None = None
    is_local = True

    def __init__(self, url: URL) -> None:
        self._url: Final = url
        self.shown: Final = str(url)
        self._path: Final = Path(url.database or "")

    def claim(self, lost: Callable[[str], None]) -> Claim:
        """See ``Backend``."""
        return Unclaimed()

    @contextlib.contextmanager
    def without_master(self) -> Iterator[None]:
        """See ``Backend``. A master locks the folder that its file is in."""
        path = self._path.absolute().with_name("master.lock")
        lock = FileLock(path)
        try:
            if path.exists():
                lock.acquire(timeout=0)
        except Timeout:
            raise FailedPrecondition(
                f"a master uses the database {self.shown}; stop it first (det deploy local cluster-down)"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def exists(self) -> bool:
        """See ``Backend``."""
        return self._path.exists()

    def damages(self, conn: sqlalchemy.Connection) -> list[str]:
        """See ``Backend``."""
        told = [str(row[0]) for row in conn.exec_driver_sql("PRAGMA integrity_check(20)")]
        return [] if told == ["ok"] else [f"SQLite says: {line}" for line in told]

    def prepare(self, conn: sqlalchemy.Connection) -> None:
        """See ``Backend``."""

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
            connection.create_function("det_fold", 1, _lower, deterministic=True)

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

    def unopened(self, error: DBAPIError) -> DeterminedError:
        """See ``Backend``."""
        if "not a database" in str(error.orig) or "malformed" in str(error.orig):
            return CorruptState(f"the database {self.shown} is damaged: {error.orig}")
        return StorageFailed(f"cannot open the database {self.shown}: {error.orig}")

    def unread(self, error: DBAPIError) -> DeterminedError:
        """See ``Backend``."""
        return StorageFailed(f"the database cannot be read: {error.orig}")

    def wait_for_others(self, conn: sqlalchemy.Connection, is_patient: bool) -> None:
        """See ``Backend``."""
        # By the driver, since to ask through the engine would begin a transaction.
        driver = conn.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.execute(f"PRAGMA busy_timeout = {round(1000 * BUSY_S) if is_patient else 0}")

    def is_lost(self, error: BaseException) -> bool:
        """See ``Backend``."""
        return False

    def cut(self) -> None:
        """See ``Backend``."""


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
