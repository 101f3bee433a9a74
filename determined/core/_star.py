"""A group of processes that exchange values through their first one, which all others are connected to.

Waiting is waiting for bytes: nothing polls. Whoever ends closes its connections, which wakes all who wait for it; the
first one then closes the others', so that all of them hear of it.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import selectors
import socket
import time
from collections.abc import Callable
from typing import Any, Protocol

from determined.core._errors import OutOfStep, PeerLost
from determined.core._links import (
    HELLO,
    MAGIC,
    NONCE_BYTES,
    WELCOME,
    Kind,
    Link,
    code,
    pack,
    session_keys,
)
from determined.errors import FailedPrecondition, InvalidInput

logger = logging.getLogger("determined.core")

_ANY = selectors.EVENT_READ
_MOST_STRANGERS = 256


class Group(Protocol):
    """What a process does together with the others."""

    def gather(self, stuff: Any) -> list[Any] | None:
        """Everyone's, on the first; None elsewhere."""

    def allgather(self, stuff: Any) -> list[Any]:
        """Everyone's, everywhere."""

    def broadcast(self, stuff: Any) -> Any:
        """What the first one has given."""

    def close(self) -> None:
        """Leave. Repeating it changes nothing."""


class Alone:
    """A group of one."""

    def gather(self, stuff: Any) -> list[Any] | None:
        """The only value."""
        return [stuff]

    def allgather(self, stuff: Any) -> list[Any]:
        """The only value."""
        return [stuff]

    def broadcast(self, stuff: Any) -> Any:
        """The only value."""
        return stuff

    def close(self) -> None:
        """Do nothing."""


class _Breakable:
    """A group that is of no use any more once something has gone wrong in it."""

    def __init__(self) -> None:
        self._broken: Exception | None = None

    def close(self) -> None:
        """Close all connections."""
        raise NotImplementedError

    def _guarded(self, call: Callable[[], Any]) -> Any:
        if self._broken is not None:
            raise FailedPrecondition(
                f"the exchange between the processes of this trial has ended before ({self._broken}); end this process,"
                " so that the trial is started again"
            ) from self._broken
        try:
            return call()
        except (PeerLost, OutOfStep) as error:
            self._broken = error
            self.close()
            raise


class Middle(_Breakable):
    """The first process of a group.

    Args:
        links: to the others, in order.
    """

    def __init__(self, links: list[Link]) -> None:
        super().__init__()
        self._links = links
        self._selector = selectors.DefaultSelector()
        for link in links:
            self._selector.register(link.connection, _ANY, link)

    def gather(self, stuff: Any) -> list[Any] | None:
        """All values, when all have come; the others go on then."""
        values: list[Any] = self._guarded(lambda: self._exchange(Kind.GATHER, stuff))
        return values

    def allgather(self, stuff: Any) -> list[Any]:
        """All values, when all have come."""
        values: list[Any] = self._guarded(lambda: self._exchange(Kind.ALLGATHER, stuff))
        return values

    def broadcast(self, stuff: Any) -> Any:
        """Does not wait for the others."""
        data = pack(stuff)
        self._guarded(lambda: self._tell(Kind.BROADCAST, data))
        return stuff

    def close(self) -> None:
        """Close all connections."""
        self._selector.close()
        for link in self._links:
            link.close()

    def _exchange(self, kind: Kind, stuff: Any) -> list[Any]:
        # Before anybody waits for it, so that what cannot be sent is an error here and nothing else.
        pack(stuff)
        values = [stuff, *self._collect(kind)]
        self._tell(kind, pack(None if kind is Kind.GATHER else values))
        return values

    def _collect(self, kind: Kind) -> list[Any]:
        found: dict[Link, Any] = {}
        while len(found) < len(self._links):
            for key, _ in self._selector.select():
                link: Link = key.data
                if link not in found:
                    found[link] = link.receive(kind)
                elif link.is_gone():
                    raise link.lost()
        return [found[link] for link in self._links]

    def _tell(self, kind: Kind, data: bytes) -> None:
        for key, _ in self._selector.select(0):
            # A send to somebody who has just ended would succeed.
            if key.data.is_gone():
                raise key.data.lost()
        for link in self._links:
            link.send(kind, data)


class Outer(_Breakable):
    """Any other process of a group."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link

    def gather(self, stuff: Any) -> list[Any] | None:
        """None, when all values have come."""
        self._exchange(Kind.GATHER, stuff)
        return None

    def allgather(self, stuff: Any) -> list[Any]:
        """All values, when all have come."""
        values: list[Any] = self._exchange(Kind.ALLGATHER, stuff)
        return values

    def broadcast(self, stuff: Any) -> Any:
        """The value of the first process."""
        return self._guarded(lambda: self._link.receive(Kind.BROADCAST))

    def close(self) -> None:
        """Close the connection."""
        self._link.close()

    def _exchange(self, kind: Kind, stuff: Any) -> Any:
        data = pack(stuff)
        self._guarded(lambda: self._link.send(kind, data))
        return self._guarded(lambda: self._link.receive(kind))


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
        if not hmac.compare_digest(proof, code(self._key, b"hello", greeting, nonce, HELLO.pack(index, size, b"", b""))):
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
