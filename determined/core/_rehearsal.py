"""One call to a server that only answers this once, so that what runs are forked from has been through it before.

The first call of a process loads what encodes names of hosts, reads addresses and looks up which types are which, and
writes to hundreds of pages of memory. A fork of a process that has made one finds all of it done.
"""

from __future__ import annotations

import contextlib
import socket
import threading

_PATIENCE_S = 5.0
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\nServer: uvicorn\r\n"
    b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nConnection: close\r\n\r\n"
    b'{"a":[1.5]}'
)


def rehearse() -> None:
    """Make a call of the Core API to this machine, for what it leaves in memory; what goes wrong does not matter."""
    from determined.common.api.session import Session

    with contextlib.suppress(Exception), socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(_PATIENCE_S)
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        # It has ended before anything is forked: forks have no threads.
        answering = threading.Thread(target=_answer, args=(server,))
        answering.start()
        try:
            with Session(address, allocation_token="rehearsal") as session:  # noqa: S106  (it is nobody's)
                session.post("/api/v1/rehearsal", json={"metrics": {"loss": 0.5}}, timeout_s=_PATIENCE_S)
        finally:
            answering.join()


def _answer(server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection, _ = server.accept()
        with connection:
            connection.settimeout(_PATIENCE_S)
            connection.recv(1 << 16)
            connection.sendall(_ANSWER)
