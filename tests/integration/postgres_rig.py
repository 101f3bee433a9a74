"""Ways to lose a database: a proxy that cuts connections at one message, and sessions that are ended."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import make_url

from determined import steps
from determined.testing.postgres import run_sql


class Proxy:
    """Passes bytes between a store and its database, until it is told to cut.

    Attributes:
        cut: None; "request": the next message is swallowed; "answer": the next message arrives, its answer does not.
        cuts: how often that happened.
    """

    def __init__(self, url: str) -> None:
        self._target = make_url(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.cut: str | None = None
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Of the database, through here."""
        return self._target.set(port=self._listener.getsockname()[1]).render_as_string(hide_password=False)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((str(self._target.host), int(self._target.port or 5432)))
                self._sockets += [client, server]
                threading.Thread(target=self._forward, args=(client, server), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        """Message and answer in turn: neither side speaks out of turn, but when a connection is made or ends."""
        with contextlib.suppress(OSError), client, server:
            back = threading.Thread(target=self._back, args=(server, client), daemon=True)
            back.start()
            while data := client.recv(1 << 16):
                cut, self.cut = self.cut, None
                if cut is None:
                    server.sendall(data)
                    continue
                self.cuts += 1
                if cut == "answer":
                    # The other thread does not pass on what comes now, and ends when the server has answered.
                    self._withheld = client
                    server.sendall(data)
                    back.join()
                return

    _withheld: socket.socket | None = None

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                if self._withheld is client:
                    return
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Cut everything."""
        self._listener.close()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
                each.close()


@contextlib.contextmanager
def at_commit(number: int, do: Callable[[], Any], name: str = "store.commit.before") -> Iterator[None]:
    """Do something in the writer's thread, just before it commits for the n-th time."""
    passed = 0

    def hook(step: str) -> None:
        nonlocal passed
        passed += step == name
        if step == name and passed == number:
            do()

    steps.hook = hook
    try:
        yield
    finally:
        steps.hook = None


def end_sessions(url: str, name: str) -> int:
    """End every session whose name begins so; how many there were."""
    rows = run_sql(
        url,
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
        f"WHERE application_name LIKE '{name}%' AND datname = current_database() AND pid <> pg_backend_pid()",
    )
    return len(rows)


def end_lock_holder(url: str) -> int:
    """End the session that keeps other masters off; how many there were."""
    query = (
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks JOIN pg_database ON oid = database "
        "WHERE locktype = 'advisory' AND granted AND datname = current_database()"
    )
    return len(run_sql(url, query))


def until_waiting(url: str, for_what: str) -> None:
    """Until a session of a database waits for a lock of this kind."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database() "
        f"AND wait_event = '{for_what}'"
    )
    while run_sql(url, query)[0][0] == 0:
        continue
