"""What every connection to PostgreSQL has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import psycopg

CONNECT: Final[Mapping[str, Any]] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
"""When a host that is silent counts as gone, in seconds. A server that is only slow is waited for."""
SET: Final = """
    SELECT set_config(s.name, w.value, false) FROM pg_settings s JOIN (VALUES
      -- Whatever else is set for the role or the server: the master waits, and is not to be cut off for that.
      ('statement_timeout', '0'), ('lock_timeout', '0'),
      ('idle_session_timeout', '0'), ('idle_in_transaction_session_timeout', '0'),
      -- The server must find out that we are gone, or our locks would keep the next master out.
      ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3')
    ) AS w (name, value) ON s.name = w.name WHERE s.setting <> w.value
"""
"""Run first on every connection. Servers do not all know all of these settings."""


def connect(dsn: str, name: str) -> psycopg.Connection[Any]:
    """A connection by itself, each of whose statements is a transaction.

    Args:
        name: what it is called in the server.
    Raises:
        psycopg.Error: whatever keeps us from it.
    """
    conn = psycopg.connect(dsn, autocommit=True, application_name=name, **CONNECT)
    conn.execute(SET.encode())
    return conn
