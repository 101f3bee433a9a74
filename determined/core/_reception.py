"""How the first process of a group lets the others in, each once, and strangers never.

A stranger can say nothing that is kept: a fixed number of bytes is read from each, and a wrong answer ends the
connection. None of them keeps the others waiting.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import selectors
import socket
import time
from collections.abc import Callable

from determined.core._errors import PeerLost
from determined.core._links import HELLO, MAGIC, NONCE_BYTES, WELCOME, Link, code, session_keys
from determined.core._star import Middle
from determined.errors import InvalidInput

logger = logging.getLogger("determined.core")

_ANY = selectors.EVENT_READ
_MOST_STRANGERS = 256


class Reception:
    """Lets the others of a group in, each once, and strangers never.

    Args:
        listener: where they connect to; closed when all are there.
        key: of the group.
        size: how many the group has, with the one that lets them in.
        name: from an index to what that process is called in messages.
    """

    def __init__(self, listener: socket.socket, key: bytes, size: int, name: Callable[[int], str]) -> None:
        self._listener = listener
        self._key = key
        self._size = size
        self._name = name
        self._links: dict[int, Link] = {}
        self._strangers: dict[socket.socket, tuple[bytes, bytearray]] = {}
        self._selector = selectors.DefaultSelector()
        listener.setblocking(False)
        self._selector.register(listener, _ANY)

    def wait(self, deadline: float) -> Middle:
        """Wait for all.

        Args:
            deadline: on the monotonic clock.
        Raises:
            PeerLost: somebody did not come in time, or has left again.
            InvalidInput: somebody came twice, or with another size.
        """
        try:
            while len(self._links) < self._size - 1:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise self._too_late()
                for key, _ in self._selector.select(left_s):
                    self._on_readable(key)
            return Middle([self._links[index] for index in range(1, self._size)])
        except BaseException:
            for link in self._links.values():
                link.close()
            raise
        finally:
            for stranger in self._strangers:
                stranger.close()
            self._selector.close()
            self._listener.close()

    def _too_late(self) -> PeerLost:
        missing = ", ".join(self._name(n) for n in range(1, self._size) if n not in self._links)
        return PeerLost(
            f"{missing} did not come in time; see whether they run, and whether they make their DistributedContext."
            " DET_RANKS_WAIT_S says how many seconds to wait"
        )

    def _on_readable(self, key: selectors.SelectorKey) -> None:
        if key.fileobj is self._listener:
            self._greet()
        elif isinstance(key.data, Link):
            # It has no reason to speak before all are there, but may well have something to say then.
            if key.data.is_gone():
                raise key.data.lost()
            self._selector.unregister(key.fileobj)
        elif isinstance(key.fileobj, socket.socket):
            self._hear(key.fileobj)

    def _greet(self) -> None:
        try:
            stranger, _ = self._listener.accept()
        except OSError:
            return
        stranger.setblocking(False)
        greeting = MAGIC + secrets.token_bytes(NONCE_BYTES)
        if len(self._strangers) >= _MOST_STRANGERS:
            self._drop(next(iter(self._strangers)))
        self._strangers[stranger] = (greeting, bytearray())
        self._selector.register(stranger, _ANY)
        try:
            stranger.sendall(greeting)
        except OSError:
            self._drop(stranger)

    def _hear(self, stranger: socket.socket) -> None:
        greeting, heard = self._strangers[stranger]
        try:
            block = stranger.recv(HELLO.size - len(heard))
        except BlockingIOError:
            return
        except OSError:
            block = b""
        heard += block
        if not block:
            self._drop(stranger)
        elif len(heard) == HELLO.size:
            self._judge(stranger, greeting, bytes(heard))

    def _judge(self, stranger: socket.socket, greeting: bytes, hello: bytes) -> None:
        index, size, nonce, proof = HELLO.unpack(hello)
        if not hmac.compare_digest(
            proof, code(self._key, b"hello", greeting, nonce, HELLO.pack(index, size, b"", b""))
        ):
            logger.warning("somebody who does not know the secret of this run was turned away")
            self._drop(stranger)
            return
        self._forget(stranger)
        stranger.setblocking(True)
        trouble = self._trouble(index, size)
        status = 1 if trouble else 0
        link = self._welcome(stranger, greeting, nonce, index, status)
        if trouble:
            link.close()
            raise InvalidInput(trouble)
        self._links[index] = link
        self._selector.register(stranger, _ANY, link)

    def _trouble(self, index: int, size: int) -> str:
        if size != self._size:
            return f"{self._name(index)} says that there are {size} processes, and {self._name(0)} {self._size}"
        if not 0 < index < size:
            return f"a process came as {self._name(index)} of {size}"
        if index in self._links:
            return f"two processes came as {self._name(index)}; each must have a rank of its own"
        return ""

    def _welcome(self, stranger: socket.socket, greeting: bytes, nonce: bytes, index: int, status: int) -> Link:
        from_middle, to_middle = session_keys(self._key, greeting, nonce)
        link = Link(stranger, self._name(index), from_middle, to_middle)
        answer = WELCOME.pack(status, code(self._key, b"welcome", greeting, nonce, bytes([status])))
        try:
            stranger.sendall(answer)
        except OSError as error:
            raise link.lost(error) from error
        return link

    def _forget(self, stranger: socket.socket) -> None:
        self._selector.unregister(stranger)
        del self._strangers[stranger]

    def _drop(self, stranger: socket.socket) -> None:
        self._forget(stranger)
        stranger.close()
