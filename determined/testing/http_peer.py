"""A real HTTP server in this process that answers as it is told: the other side of a client under test."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived; header names in lower case."""

    method: str
    path: str
    params: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        """The body as JSON; None without a body."""
        return json.loads(self.body) if self.body else None


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send back.

    Attributes:
        body: bytes as they are, anything else as JSON.
        chunks: instead of ``body``, sent one HTTP chunk each, as the iterable yields them.
        cut: drop the connection: in place of an answer, or in the middle of ``chunks``.
    """

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: Iterable[bytes] | None = None
    cut: bool = False


def refusal(status: int, code: int, message: str) -> Answer:
    """An error answer in the form that a master gives it."""
    return Answer({"message": message, "error": {"code": code, "reason": "", "error": message}}, status)


def lines(*values: Any) -> Answer:
    """A stream of JSON lines, one chunk each."""
    return Answer(chunks=[json.dumps(value).encode() + b"\n" for value in values])


Reply = Any
"""An ``Answer``, a value to send as JSON, or a function from the request to either."""


class HttpPeer:
    """The server; a context manager.

    Attributes:
        url: where it listens, on the loopback interface.
        requests: everything that arrived, in order.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._routes: dict[tuple[str, str], Reply] = {}
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.peer = self
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def on(self, method: str, path: str, reply: Reply) -> None:
        """Answer ``method path`` with ``reply`` from now on."""
        self._routes[method, path] = reply

    def in_turn(self, method: str, path: str, *replies: Reply) -> None:
        """Answer one request after the other with these; the last one stays."""
        left = list(replies)

        def next_reply(request: Request) -> Reply:
            reply = left.pop(0) if len(left) > 1 else left[0]
            return reply(request) if callable(reply) else reply

        self.on(method, path, next_reply)

    def seen(self, method: str, path: str) -> list[Request]:
        """Requests of that kind that arrived so far."""
        return [r for r in self.requests if (r.method, r.path) == (method, path)]

    def answer(self, request: Request) -> Answer:
        """What to send for a request; called on the server's threads."""
        with self._lock:
            self.requests.append(request)
        reply = self._routes.get((request.method, request.path))
        if reply is None:
            return refusal(404, 5, f"{request.method} {request.path} not found")
        if callable(reply):
            reply = reply(request)
        return reply if isinstance(reply, Answer) else Answer(reply)

    def opened(self, connection: socket.socket) -> int:
        """Note a new connection; its number, from 0."""
        with self._lock:
            self._sockets.append(connection)
            return len(self._sockets) - 1

    def __enter__(self) -> HttpPeer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and drop every connection."""
        self._server.shutdown()
        self._thread.join()
        for connection in self._sockets:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    peer: HttpPeer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients under test hang up as they please."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.number = self.server.peer.opened(self.connection)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is that of the base class
        return

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        params = parse_qs(parts.query, keep_blank_values=True)
        body = self.rfile.read(length)
        request = Request(self.command, parts.path, params, headers, body, self.number)
        self._send(self.server.peer.answer(request))

    do_GET = do_POST = do_PATCH = do_DELETE = _serve

    def _send(self, answer: Answer) -> None:
        if answer.cut and answer.chunks is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        data = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.chunks is None:
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in answer.chunks:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.flush()
        if answer.cut:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(b"0\r\n\r\n")
