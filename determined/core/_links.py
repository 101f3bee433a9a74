"""One connection between two processes of a trial: both prove that they know the run's secret, then exchange frames.

Values are pickled, and reading a pickle executes what its writer wants. So nothing is unpickled before its writer has
proved to know the secret, and each frame carries a code over its place in the conversation: nobody on the network can
put in, change, repeat or leave out one. Nothing is encrypted.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import hmac
import os
import pickle
import secrets
import socket
import struct
import time
import weakref
from typing import Any

from determined.core._errors import OutOfStep, PeerLost

MAGIC = b"DET-RANKS-1\n"
NONCE_BYTES = 32
GREETING_BYTES = len(MAGIC) + NONCE_BYTES
HELLO = struct.Struct(">II32s32s")
WELCOME = struct.Struct(">B32s")
_HEADER = struct.Struct(">BQ32s")
_LARGEST = 1 << 32
_NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)
_KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6))
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 1.0

Address = str | tuple[str, int]
"""Name of a Unix socket, or host and port."""


class Kind(enum.IntEnum):
    """What the processes of a group do together."""

    GATHER = 1
    ALLGATHER = 2
    BROADCAST = 3


def code(key: bytes, *parts: bytes) -> bytes:
    """The authentication code of some bytes; the length of each part counts, too."""
    made = hmac.new(key, digestmod=hashlib.sha256)
    for part in parts:
        made.update(len(part).to_bytes(8, "big"))
        made.update(part)
    return made.digest()


_links: weakref.WeakSet[Link] = weakref.WeakSet()


def _leave_to_parent() -> None:
    """A forked process, such as one that loads data, must not keep a connection open whose owner has died."""
    for link in list(_links):
        link.close()


os.register_at_fork(after_in_child=_leave_to_parent)


class Link:
    """Frames to and from one other process.

    Args:
        connection: connected; the link closes it.
        peer: what the other one is called in messages, such as ``rank 3``.
        sending: key of what this side sends.
        receiving: key of what the other side sends.
    """

    def __init__(self, connection: socket.socket, peer: str, sending: bytes, receiving: bytes) -> None:
        self.connection = connection
        self.peer = peer
        _links.add(self)
        self._keys = (sending, receiving)
        self._sent = self._received = 0
        if connection.family != getattr(socket, "AF_UNIX", None):
            _keep_alive(connection)

    def send(self, kind: Kind, data: bytes) -> None:
        """Send one frame.

        Raises:
            PeerLost: the other process is gone.
        """
        tag = code(self._keys[0], b"%d %d" % (self._sent, kind), data)
        self._sent += 1
        try:
            self.connection.sendall(_HEADER.pack(kind, len(data), tag), _NO_SIGNAL)
            self.connection.sendall(data, _NO_SIGNAL)
        except OSError as error:
            raise self.lost(error) from error

    def receive(self, kind: Kind) -> Any:
        """The value of the next frame; waits for it.

        Raises:
            PeerLost: the other process is gone, or somebody has changed what it sent.
            OutOfStep: it is a frame of another kind.
        """
        try:
            told, length, tag = _HEADER.unpack(read(self.connection, _HEADER.size))
            # A length that is not true shows by the code.
            data = read(self.connection, min(length, _LARGEST))
        except (OSError, EOFError) as error:
            raise self.lost(error) from error
        if not hmac.compare_digest(tag, code(self._keys[1], b"%d %d" % (self._received, told), data)):
            raise self.lost(ValueError("sent a frame with a wrong code"))
        self._received += 1
        if told != kind:
            raise OutOfStep(
                f"this process called {kind.name.lower()}() while {self.peer} called {Kind(told).name.lower()}();"
                " all processes must make the same collective calls in the same order"
                " (operations(), should_preempt() and sharded checkpoints make some, too)"
            )
        return pickle.loads(data)  # noqa: S301 - its writer has proved to be one of us

    def is_gone(self) -> bool:
        """Whether the other process has ended or left; only to be asked when there is something to read."""
        try:
            return not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def lost(self, why: BaseException | None = None) -> PeerLost:
        """The exception for the end of the other process."""
        told = "" if why is None or isinstance(why, EOFError) else f" ({why})"
        return PeerLost(
            f"{self.peer} is gone{told}: its process has ended or has left core.init(); look for its own error"
            " further up in the log"
        )

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def pack(value: Any) -> bytes:
    """A value as bytes.

    Raises:
        TypeError: it cannot be pickled, or is too large.
    """
    try:
        data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise TypeError(f"a {type(value).__qualname__} cannot be sent to other processes ({error})") from error
    if len(data) > _LARGEST:
        raise TypeError(f"{len(data)} bytes are too many to send; use the collective calls of the training library")
    return data


def session_keys(key: bytes, greeting: bytes, nonce: bytes) -> tuple[bytes, bytes]:
    """Keys for one connection: of what the middle of the star sends, and of what the other side sends."""
    return code(key, b"from the middle", greeting, nonce), code(key, b"to the middle", greeting, nonce)


def connect(address: Address, key: bytes, index: int, size: int, deadline: float, peer: str) -> Link:
    """Connect to the middle of a star; tries again until the time is up, since that one may not be there yet.

    Args:
        key: of the group.
        index: of this process in the group.
        size: how many the group has.
        deadline: on the monotonic clock.
        peer: what the middle is called in messages.
    Raises:
        PeerLost: nobody who knows the secret was there in time, or it has refused this process.
    """
    pause_s = _FIRST_PAUSE_S
    while True:
        connection: socket.socket | None = None
        try:
            connection = _open(address, deadline)
            return _join(connection, key, index, size, peer)
        except (OSError, EOFError) as error:
            if connection is not None:
                connection.close()
            if isinstance(error, PeerLost):
                raise
            if time.monotonic() + pause_s > deadline:
                raise PeerLost(
                    f"{peer} could not be reached at {shown(address)} in time ({str(error) or 'it hung up'}); see"
                    " whether it runs and makes its DistributedContext, and whether chief_ip and the port are right"
                ) from error
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def shown(address: Address) -> str:
    """An address for people."""
    return f"socket {address[1:]}" if isinstance(address, str) else f"{address[0]} port {address[1]}"


def read(connection: socket.socket, length: int) -> bytes:
    """Exactly so many bytes.

    Raises:
        EOFError: the other side has closed the connection before.
    """
    data = bytearray()
    while len(data) < length:
        block = connection.recv(min(length - len(data), 1 << 20))
        if not block:
            raise EOFError
        data += block
    return bytes(data)


def _open(address: Address, deadline: float) -> socket.socket:
    left_s = max(deadline - time.monotonic(), 0.1)
    if not isinstance(address, str):
        return socket.create_connection(address, timeout=left_s)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(left_s)
        connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


def _join(connection: socket.socket, key: bytes, index: int, size: int, peer: str) -> Link:
    greeting = read(connection, GREETING_BYTES)
    if not greeting.startswith(MAGIC):
        raise ConnectionError("something else answers there")
    nonce = secrets.token_bytes(NONCE_BYTES)
    proof = code(key, b"hello", greeting, nonce, HELLO.pack(index, size, b"", b""))
    connection.sendall(HELLO.pack(index, size, nonce, proof), _NO_SIGNAL)
    status, answer = WELCOME.unpack(read(connection, WELCOME.size))
    if not hmac.compare_digest(answer, code(key, b"welcome", greeting, nonce, bytes([status]))):
        raise ConnectionError("it does not know the secret of this run")
    if status:
        raise PeerLost(f"{peer} has refused process {index} of {size}; it says why in its own error, in the log")
    connection.settimeout(None)
    from_middle, to_middle = session_keys(key, greeting, nonce)
    return Link(connection, peer, to_middle, from_middle)


def _keep_alive(connection: socket.socket) -> None:
    """Hear of a machine that was switched off, which cannot close its connections."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
