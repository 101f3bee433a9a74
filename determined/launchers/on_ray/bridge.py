"""The master's end of the driver: starts it, asks it, and starts another when it ends. Does not import Ray."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from determined import files
from determined.errors import Unavailable
from determined.launchers.on_ray.wire import HEADER_BYTES, Reply, Request, frame

MAX_BACKOFF_S = 10.0
"""Between attempts to reach a cluster."""
LEAVE_S = 2.0
"""A master that leaves waits so long for its driver, which then ends on its own."""
RETRY_S = 0.5
"""After which it is asked again what could not be answered."""
LOG = "driver.log"
DRIVER = "determined.launchers.on_ray.driver"
_log = logging.getLogger(__name__)
T = TypeVar("T")


class Lost(Exception):
    """The actor that was asked is dead, for ever."""


class Bridge:
    """One driver at a time. Call it from one event loop."""

    def __init__(self, address: str, namespace: str, folder: Path) -> None:
        """Nothing is started before `open`.

        Args:
            address: of the cluster's head, ``host:port``, or ``auto`` for the one of this machine.
            namespace: of this master's actors.
            folder: for what the driver prints.
        """
        self._address = address
        self._namespace = namespace
        self._folder = folder
        self._connected = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._last = 0
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the cluster can be asked now."""
        return self._connected.is_set()

    def open(self) -> None:
        """Begin to keep a driver, for as long as it takes to reach the cluster."""
        files.make_folder(self._folder, "ray.folder", 0o700)
        self._supervisor = asyncio.create_task(self._supervise())

    async def close(self) -> None:
        """End the driver; actors go on."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait({self._supervisor})
            self._supervisor = None

    async def connected(self) -> None:
        """Wait until the cluster can be asked."""
        await self._connected.wait()

    async def ask(self, result: type[T], method: str, *arguments: Any) -> T:
        """Have the driver do something, as soon as the cluster can be reached.

        Raises:
            Lost: the actor is dead.
            Unavailable: it failed, or the driver ended meanwhile: nobody knows whether it was done.
        """
        await self._connected.wait()
        assert self._writer is not None
        self._last += 1
        number = self._last
        reply = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(frame(Request(number, method, msgspec.msgpack.encode(arguments))))
            return msgspec.msgpack.decode(await reply, type=result)
        finally:
            self._waiting.pop(number, None)

    async def insist(self, result: type[T], method: str, *arguments: Any) -> T:
        """`ask` until there is an answer; only what may be done twice.

        Raises:
            Lost: the actor is dead.
        """
        while True:
            try:
                return await self.ask(result, method, *arguments)
            except Unavailable as error:
                _log.warning("%s; asking again", error)
            await asyncio.sleep(RETRY_S)

    async def do(self, method: str, *arguments: Any) -> None:
        """`ask` for what has no answer."""
        await self.ask(type(None), method, *arguments)

    async def _supervise(self) -> None:
        backoff_s = 0.2
        while True:
            problem, served = await self._live_once()
            backoff_s = 0.2 if served else min(2 * backoff_s, MAX_BACKOFF_S)
            _log.error(
                "the Ray cluster at %s cannot be reached: %s; runs go on where their nodes do, trying again in %.1f s",
                self._address,
                problem,
                backoff_s,
            )
            await asyncio.sleep(backoff_s)

    async def _live_once(self) -> tuple[str, bool]:
        """One life of a driver; why it ended, and whether it ever reached the cluster."""
        mine, theirs = socket.socketpair()
        mine.setblocking(False)
        process = await asyncio.to_thread(self._launch, theirs)
        reader, writer = await asyncio.open_connection(sock=mine)
        served = is_closing = False
        try:
            first = await _read(reader)
            if first.problem is not None:
                return first.text, False
            served = True
            self._writer = writer
            self._connected.set()
            _log.info("connected to the Ray cluster at %s", self._address)
            while True:
                self._settle(await _read(reader))
        except (asyncio.IncompleteReadError, ConnectionError):
            return f"its driver process ended ({self._last_words()})", served
        except asyncio.CancelledError:
            is_closing = True
            raise
        finally:
            self._connected.clear()
            for reply in self._waiting.values():
                if not reply.done():
                    reply.set_exception(Unavailable("the connection to the Ray cluster was lost"))
            # It gives back what no run has, and ends. Nothing ends one that waits for a cluster that is not there.
            writer.close()
            if not served:
                process.kill()
            if not await asyncio.shield(asyncio.to_thread(_wait, process)):
                if not is_closing:
                    # Its successor must not ask for what it is giving back.
                    process.kill()
                threading.Thread(target=process.wait, name="driver", daemon=True).start()

    def _launch(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        with theirs, files.action("ray.driver"), (self._folder / LOG).open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", DRIVER, self._address, self._namespace, str(theirs.fileno())],
                env={name: value for name, value in os.environ.items() if not name.startswith("DET_")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )

    def _settle(self, reply: Reply) -> None:
        future = self._waiting.get(reply.number)
        if future is None or future.done():
            return
        if reply.problem is None:
            future.set_result(reply.result)
        elif reply.problem == "lost":
            future.set_exception(Lost(reply.text))
        else:
            future.set_exception(Unavailable(f"the Ray cluster refused: {reply.text}"))

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = (self._folder / LOG).read_text("utf-8", "replace").strip().splitlines()
            return lines[-1][-400:] if lines else "it said nothing"
        return "it said nothing"


def _wait(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(LEAVE_S)
    except subprocess.TimeoutExpired:
        return False
    return True


async def _read(reader: asyncio.StreamReader) -> Reply:
    size = int.from_bytes(await reader.readexactly(HEADER_BYTES), "big")
    return msgspec.msgpack.decode(await reader.readexactly(size), type=Reply)
