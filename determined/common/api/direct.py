"""Calls to a master over plain HTTP with no proxy between: one connection for each at a time, kept for the next.

That is how trials and search runners on this machine, or in a private network, reach their master, and they wait for
each call. A general HTTP client takes longer to load than most of what they do, and several times as long for a call
as this. Whatever is out of the ordinary is left to that: TLS, proxies, streams, and finding words for a master that is
not there.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from typing import NamedTuple
from urllib.parse import urlsplit

import httptools

from determined.common.api.connections import CONNECT_TIMEOUT_S, proxy_for, socket_options

_MOST_IDLE = 16
_BLOCK = 1 << 16


class Answer(NamedTuple):
    """What a server said."""

    status: int
    data: bytes


class NotConnected(Exception):
    """Nothing was sent."""


class BrokenOff(Exception):
    """The connection ended, or what came is no HTTP; nobody knows what has become of the request."""


class Direct:
    """Connections to one server. Safe to use from several threads, and after a fork.

    Args:
        url: canonical, of a server for which ``is_direct`` holds.
        headers: of every request.
    """

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._idle: list[socket.socket] = []
        parts = urlsplit(url)
        self._address = parts.hostname or "", parts.port or 80
        self._prefix = parts.path
        lines = [f"Host: {parts.netloc}", *(f"{name}: {value}" for name, value in headers.items())]
        self._headers = "\r\n".join(lines)
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._is_plain = all(map(_is_plain, (parts.netloc, parts.path, *headers, *headers.values())))

    def can_send(self, path: str) -> bool:
        """Whether a path and query, and all else, go into a request as they are."""
        return self._is_plain and _is_plain(path) and " " not in path

    def request(self, method: str, path: str, accept: str, body: bytes | None, timeout_s: float | None) -> Answer:
        """One request and the answer to it.

        Args:
            body: JSON; None for none.
            timeout_s: how long to wait for each piece of the answer; None for ever.
        Raises:
            NotConnected: nobody listens there, so nothing was sent.
            TimeoutError: the answer did not come in time.
            BrokenOff: it did not come whole.
        """
        head = f"{method} {self._prefix}{path} HTTP/1.1\r\n{self._headers}\r\nAccept: {accept}\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        elif method != "GET":
            head += "Content-Length: 0\r\n"
        connection = self._take() or self._connect()
        try:
            connection.settimeout(timeout_s)
            connection.sendall(f"{head}\r\n".encode("ascii") + (body or b""))
            answer, is_open = _read(connection)
        except BaseException as error:
            connection.close()
            # A connection that the system has given up is one of these, too, and nobody has set it a time.
            is_late = isinstance(error, TimeoutError) and error.errno is None
            if isinstance(error, OSError) and not is_late:
                raise BrokenOff(error.strerror or str(error)) from error
            raise
        if is_open:
            self._give_back(connection)
        else:
            connection.close()
        return answer

    def hand_on(self) -> None:
        """Leave idle connections to whoever talks to the same server later in this process."""
        with self._lock:
            idle, self._idle = self._idle, []
        _handed_on.extend((self._address, os.getpid(), connection) for connection in idle)

    def close(self) -> None:
        """Close what is idle; a later request opens a new connection. A parent process keeps its own."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __del__(self) -> None:
        for connection in self._idle:
            connection.close()

    def _take(self) -> socket.socket | None:
        with self._lock:
            if self._pid != os.getpid():
                # A forked child must not talk through sockets that its parent still uses.
                for connection in self._idle:
                    connection.close()
                self._idle, self._pid = [], os.getpid()
            while self._idle:
                connection = self._idle.pop()
                if not _has_news(connection):
                    return connection
                # The server has closed it.
                connection.close()
        return _take_handed_on(self._address)

    def _give_back(self, connection: socket.socket) -> None:
        with self._lock:
            if self._pid == os.getpid() and len(self._idle) < _MOST_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def _connect(self) -> socket.socket:
        try:
            connection = socket.create_connection(self._address, timeout=CONNECT_TIMEOUT_S)
        except (OSError, UnicodeError) as error:
            raise NotConnected(str(error)) from error
        for level, option, value in socket_options():
            connection.setsockopt(level, option, value)
        return connection


_handed_on: list[tuple[tuple[str, int], int, socket.socket]] = []


def _take_handed_on(address: tuple[str, int]) -> socket.socket | None:
    while _handed_on:
        whose, pid, connection = _handed_on.pop()
        if (whose, pid) == (address, os.getpid()) and not _has_news(connection):
            return connection
        connection.close()
    return None


def is_direct(url: str) -> bool:
    """Whether a master is called over plain HTTP, with no proxy between."""
    return url.startswith("http:") and proxy_for(url) is None


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


class _Message:
    """What a parser has found so far of an answer."""

    __slots__ = ("has_length", "is_complete", "is_headed", "is_to_stay_open", "parser", "parts")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.has_length = self.is_headed = self.is_complete = self.is_to_stay_open = False
        self.parser = httptools.HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self.has_length = True

    def on_headers_complete(self) -> None:
        self.is_headed = True

    def on_body(self, body: bytes) -> None:
        self.parts.append(body)

    def on_message_begin(self) -> None:
        if self.is_complete:
            raise BrokenOff("there is more than one answer")

    def on_message_complete(self) -> None:
        if self.parser.get_status_code() < 200:
            # Only an announcement of the answer.
            self.parts, self.has_length, self.is_headed = [], False, False
            return
        self.is_complete = True
        # It does not know any more afterwards.
        self.is_to_stay_open = self.parser.should_keep_alive()

    def is_over(self, is_closed: bool) -> bool:
        """Whether this was all; without a length the end of the connection is the end of the answer."""
        return self.is_complete or (is_closed and self.is_headed and not self.has_length)


def _read(connection: socket.socket) -> tuple[Answer, bool]:
    """An answer, and whether the connection can be used again."""
    message = _Message()
    data = b" "
    while not message.is_over(is_closed=not data):
        if not data:
            raise BrokenOff("the connection was closed before the answer was complete")
        data = connection.recv(_BLOCK)
        try:
            message.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise BrokenOff(f"what came is no HTTP: {error}") from error
    status = message.parser.get_status_code()
    # Each refers to the other.
    del message.parser
    return Answer(status, b"".join(message.parts)), message.is_to_stay_open


def _has_news(connection: socket.socket) -> bool:
    """Whether there is something to read, which on an idle connection is its end."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))
