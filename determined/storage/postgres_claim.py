"""Who may write to a database on PostgreSQL: one process holds a lock, and each transaction of it says its number.

The row ``writer`` of the table ``meta`` is ``EPOCH:UNIT``. Whoever takes over raises the epoch. Each transaction begins
by raising the unit, which succeeds only if the row is as this process left it. That does three things at once:

- A process whose lock was lost, and which another one has replaced, cannot write: it does not find its row.
- The row is locked until the transaction is over, so nobody takes over in the middle of one.
- When the connection breaks during COMMIT, the row tells afterwards whether that transaction was committed.

The lock itself is only there to say no to a second master, and to let go when the first one dies.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

import psycopg
from sqlalchemy import Connection

from determined.errors import FailedPrecondition, StorageFailed
from determined.storage.claim import ClaimLost
from determined.storage.faults import in_one_line
from determined.storage.postgres_session import connect
from determined.storage.waits import Backoff

_LOG: Final = logging.getLogger(__name__)
_LOCK: Final = 0x6465_746D_6173_7472
"""Of advisory locks, whose names are numbers; those of one database do not meet those of another."""
PATIENCE_MS: Final = 3000
"""A process that was killed a moment ago may not have been noticed yet."""
_JOIN_S: Final = 1.0
_ROW, _HOLDER = "writer", "holder"


class PostgresClaim:
    """See ``Claim``.

    Args:
        dsn: of the database; holds the password.
        shown: the same for people.
        writer: what the writer's connections call themselves.
        lost: called once, from any thread, with a sentence, when another process has taken over.
    """

    def __init__(self, dsn: str, shown: str, writer: str, lost: Callable[[str], None]) -> None:
        self._dsn: Final = dsn
        self._shown: Final = shown
        self._writer: Final = writer
        self._lost: Final = lost
        self._telling = threading.Lock()
        self._why = ""
        self._epoch = 0
        self._unit = 0
        self._lock: psycopg.Connection[Any] | None = None
        self._watch: threading.Thread | None = None
        self._waker: socket.socket | None = None
        self._backoff: Final = Backoff()

    # Before the first transaction

    def take(self) -> None:
        """See ``Claim``."""
        try:
            self._lock = self._connect()
            if not self._wait_for_lock(self._lock):
                raise FailedPrecondition(
                    f"another master{_holder(self._lock)} uses the database {self._shown}; "
                    "stop that one, or name another database with --db"
                )
        except psycopg.Error as error:
            self.release()
            raise StorageFailed(f"cannot open the database {self._shown}: {in_one_line(error)}") from error
        except FailedPrecondition:
            self.release()
            raise

    def _connect(self) -> psycopg.Connection[Any]:
        return connect(self._dsn, "determined master")

    @staticmethod
    def _wait_for_lock(conn: psycopg.Connection[Any]) -> bool:
        """Waits in the server, which wakes us when the lock is free."""
        conn.execute("SELECT set_config('lock_timeout', %s, false)", (f"{PATIENCE_MS}ms",))
        try:
            conn.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        except psycopg.errors.LockNotAvailable:
            return False
        return True

    @staticmethod
    def _try_lock(conn: psycopg.Connection[Any]) -> bool:
        row = conn.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()
        return row is not None and bool(row[0])

    def enter(self, conn: Connection) -> None:
        """See ``Claim``."""
        about = json.dumps({"host": socket.gethostname(), "pid": os.getpid()})
        # Whoever lost the lock may stand still in the middle of a transaction, for ever as far as we know.
        _end_sessions(conn, "determined writer %")
        conn.exec_driver_sql("INSERT INTO meta (key, value) VALUES (%s, '0:0') ON CONFLICT DO NOTHING", (_ROW,))
        self._epoch, self._unit = _read(conn)[0] + 1, 0
        conn.exec_driver_sql("UPDATE meta SET value = %s WHERE key = %s", (self._value, _ROW))
        conn.exec_driver_sql(
            "INSERT INTO meta (key, value) VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (_HOLDER, about),
        )
        self._waker, wake = socket.socketpair()
        self._watch = threading.Thread(target=self._watch_lock, args=(wake,), name="determined-claim", daemon=True)
        self._watch.start()

    # Transactions

    @property
    def _value(self) -> str:
        return f"{self._epoch}:{self._unit}"

    def begin(self, conn: Connection) -> None:
        """See ``Claim``."""
        after = f"{self._epoch}:{self._unit + 1}"
        with closing(conn.connection.cursor()) as cursor:
            cursor.execute("UPDATE meta SET value = %s WHERE key = %s AND value = %s", (after, _ROW, self._value))
            found = cursor.rowcount
        if found != 1:
            raise self._tell_lost("nothing was stored")

    def committed(self) -> None:
        """See ``Claim``."""
        self._unit += 1

    def find_out(self, conn: Connection) -> bool:
        """See ``Claim``."""
        # The server may not know yet that the old connection is gone, and hold its transaction open.
        _end_sessions(conn, self._writer)
        # Waits for that transaction, if it is just being committed.
        epoch, unit = _read(conn)
        if epoch != self._epoch or unit not in (self._unit, self._unit + 1):
            raise self._tell_lost("it is not known whether this was stored")
        is_committed = unit == self._unit + 1
        self._unit = unit
        return is_committed

    def _tell_lost(self, outcome: str = "") -> ClaimLost:
        with self._telling:
            if not self._why:
                self._why = self._find_why()
                _LOG.error("%s", self._why)
                self._lost(self._why)
        return ClaimLost(f"{self._why}; {outcome}")

    def _find_why(self) -> str:
        holder = ""
        with contextlib.suppress(psycopg.Error), self._connect() as conn:
            if not self._is_replaced(conn):
                return (
                    f"the database {self._shown} is not as this master left it: it was restored from a backup, or a "
                    "standby took its place that lacked what was committed; this master stops, start it again"
                )
            holder = _holder(conn)
        return f"another master{holder} has taken over the database {self._shown}; this one stops"

    # The lock

    def _watch_lock(self, wake: socket.socket) -> None:
        """Blocks until the connection that holds the lock says something, which it does only at its end."""
        with wake:
            while (lock := self._lock) is not None:
                try:
                    readable, _, _ = select.select([lock.fileno(), wake.fileno()], [], [])
                    if wake.fileno() in readable:
                        return
                    lock.execute("SELECT 1")
                except (psycopg.Error, ValueError, OSError):
                    lock.close()
                    self._lock = self._take_again()

    def _take_again(self) -> psycopg.Connection[Any] | None:
        """Nobody can write in between without raising the epoch, so there is no hurry."""
        _LOG.warning("the connection that keeps other masters off %s was lost; taking it anew", self._shown)
        self._backoff.reset()
        while not self._backoff.wait():
            with contextlib.suppress(psycopg.Error):
                conn = self._connect()
                is_locked = self._try_lock(conn)
                # With the lock too: somebody may have come and gone in between.
                if self._is_replaced(conn):
                    conn.close()
                    self._tell_lost()
                    return None
                if is_locked and not self._backoff.is_stopped:
                    return conn
                conn.close()
        return None

    def _is_replaced(self, conn: psycopg.Connection[Any]) -> bool:
        row = conn.execute("SELECT value FROM meta WHERE key = %s", (_ROW,)).fetchone()
        return row is None or not str(row[0]).startswith(f"{self._epoch}:")

    def release(self) -> None:
        """See ``Claim``."""
        self._backoff.stop()
        if self._watch is not None and self._waker is not None:
            self._waker.close()
            self._watch.join(_JOIN_S)
        lock, self._lock = self._lock, None
        if lock is not None:
            with contextlib.suppress(psycopg.Error):
                lock.close()


def _end_sessions(conn: Connection, name: str) -> None:
    """Roll back what other sessions of this name (a pattern) have begun."""
    conn.exec_driver_sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s "
        "AND pid <> pg_backend_pid() AND datname = current_database() AND usename = current_user",
        (name,),
    )


def _read(conn: Connection) -> tuple[int, int]:
    value = conn.exec_driver_sql("SELECT value FROM meta WHERE key = %s FOR UPDATE", (_ROW,)).scalar_one()
    epoch, _, unit = str(value).partition(":")
    return int(epoch), int(unit)


def _holder(conn: psycopg.Connection[Any]) -> str:
    with contextlib.suppress(psycopg.Error, ValueError, KeyError):
        row = conn.execute("SELECT value FROM meta WHERE key = %s", (_HOLDER,)).fetchone()
        if row is not None:
            about = json.loads(row[0])
            return f" (process {int(about['pid'])} on {about['host']})"
    return ""
