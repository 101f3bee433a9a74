"""A proxy before a master that loses, repeats, delays and cuts: what a network may do to any call.

It understands just enough HTTP to know where a request ends. Each request is served over a connection of its own to the
master. Which fault befalls it is for a policy to say, in the order in which requests arrive.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType

_BLOCK = 1 << 16
_MOST_HEAD = 1 << 20


class Fault(enum.Enum):
    """What happens to one request."""

    NONE = "none"
    DROP_REQUEST = "drop request"
    """The master never sees it; the client sees its connection reset."""
    DROP_RESPONSE = "drop response"
    """The master has done it; the client sees its connection reset."""
    DUPLICATE = "duplicate"
    """The master gets it twice; the client gets the second answer."""
    DELAY = "delay"
    """It arrives late."""
    CUT = "cut"
    """The client gets half of the answer, then a reset."""


Policy = Callable[[str, str], Fault]
"""From the method and the path of a request to its fault. Called in one thread."""


def seeded(seed: int, share: float) -> Policy:
    """Faults at random: this share of all requests, each kind equally often."""
    rng = random.Random(seed)
    faults = [fault for fault in Fault if fault is not Fault.NONE]
    return lambda method, path: rng.choice(faults) if rng.random() < share else Fault.NONE


class FaultProxy:
    """A context manager; serves in a thread of its own.

    Attributes:
        port: where it listens, from construction on.
        upstream: port of the master; may be set later, and changed.
        faults: how often each fault has happened.
    """

    def __init__(self, policy: Policy, upstream: int = 0, delay_s: float = 0.2) -> None:
        self.policy = policy
        self.upstream = upstream
        self.delay_s = delay_s
        self.faults: Counter[Fault] = Counter()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._loop: asyncio.AbstractEventLoop | None = None
        self._serving = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="fault proxy", daemon=True)

    @property
    def url(self) -> str:
        """Where clients are to go."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        self._serving.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._clients: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._accept, sock=self._socket, limit=_MOST_HEAD)
        self._serving.set()
        await self._stop.wait()
        server.close()
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._one_request(reader, writer)
        finally:
            self._clients.discard(task)
            writer.close()

    async def _one_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, method, path = await _read_request(reader)
        fault = self.policy(method, path)
        self.faults[fault] += 1
        if fault is Fault.DROP_REQUEST:
            return _reset(writer)
        if fault is Fault.DELAY:
            await asyncio.sleep(self.delay_s)
        if fault in (Fault.NONE, Fault.DELAY):
            return await self._relay(request, reader, writer)
        answer = await self._whole_answer(request)
        if fault is Fault.DUPLICATE:
            answer = await self._whole_answer(request)
            writer.write(answer)
            return await writer.drain()
        if fault is Fault.CUT:
            writer.write(answer[: len(answer) // 2])
            await writer.drain()
        return _reset(writer)

    async def _relay(self, request: bytes, client: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass the answer on as it comes; a client that leaves ends the request at the master too."""
        above, below = await asyncio.open_connection("127.0.0.1", self.upstream)
        try:
            below.write(request)
            answering = asyncio.ensure_future(_copy(above, writer))
            leaving = asyncio.ensure_future(client.read(1))
            try:
                await asyncio.wait([answering, leaving], return_when=asyncio.FIRST_COMPLETED)
            finally:
                answering.cancel()
                leaving.cancel()
                await asyncio.gather(answering, leaving, return_exceptions=True)
        finally:
            below.close()

    async def _whole_answer(self, request: bytes) -> bytes:
        above, below = await asyncio.open_connection("127.0.0.1", self.upstream)
        try:
            below.write(request)
            return await above.read()
        finally:
            below.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while block := await source.read(_BLOCK):
        target.write(block)
        await target.drain()


async def _read_request(reader: asyncio.StreamReader) -> tuple[bytes, str, str]:
    """One request, changed so that the master ends the connection after its answer; its method and path."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *headers = head.rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ", 2)
    kept = [line for line in headers if not line.lower().startswith("connection:")]
    length = next((int(line.split(":")[1]) for line in kept if line.lower().startswith("content-length:")), 0)
    body = await reader.readexactly(length)
    return "\r\n".join([first, *kept, "Connection: close", "", ""]).encode("latin-1") + body, method, path


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection the hard way."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
