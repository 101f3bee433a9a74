"""The master's end of the fork server: keeps one running and asks it for shims."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

from determined import files
from determined.errors import Unavailable
from determined.launchers import fork_server, paths
from determined.launchers.templates import Template
from determined.launchers.warm import ROOM, ROOM_BYTES

PATIENCE_S = 30.0
"""For one shim, a slow start of the interpreter under load included."""
TEMPLATE_PATIENCE_S = 120.0
"""The same where the process loads modules before."""
_PACKAGE_PARENT = str(Path(__file__).resolve().parents[2])


class Forker:
    """One fork server at a time; replaced when it dies or hangs. Call it from one event loop."""

    def __init__(self, runs: Path, template: Template | None = None, *, leashed: bool = False) -> None:
        """Nothing is started before it is needed.

        Args:
            runs: the folder of the runs' folders.
            template: what the server loads for the runs; None for a bare one.
            leashed: a template is killed with this process, whatever it is loading.
        """
        self._boot = (fork_server.LEASHED if leashed else "") + fork_server.BOOT_TEMPLATE
        self._template = template
        self._patience_s = PATIENCE_S if template is None else TEMPLATE_PATIENCE_S
        self._error_path = runs / paths.SERVER_ERROR
        self._turn = asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._unsent = b""

    @property
    def pid(self) -> int | None:
        """The fork server's process, when there is one."""
        return self._process.pid if self._process else None

    async def warm_up(self) -> None:
        """Start the server now, so that the first run does not wait for it."""
        async with self._turn:
            if self._process is None:
                await asyncio.to_thread(self._launch)

    async def spawn(self, folder: Path, lock_fd: int) -> None:
        """Start the shim of a prepared run. Done twice it does no harm: a run has one shim in its life.

        Raises:
            Unavailable: no fork server can be started, or it does not answer.
        """
        async with self._turn:
            for _ in range(2):
                if self._process is None:
                    await asyncio.to_thread(self._launch)
                if await self._ask(folder, lock_fd):
                    return
                await asyncio.to_thread(self.close)
            raise Unavailable(
                f"cannot start a process for {folder.name}: the fork server ({sys.executable}) ended or did not answer "
                f"within {self._patience_s:.0f} s, twice. {self._last_words()}"
            )

    def release(self, folder: Path) -> None:
        """A run is over, and nothing more is wanted of its shim, which may have another run."""
        if self._socket is None:
            return
        self._unsent += fork_server.RELEASE + os.fsencode(folder) + b"\0"
        # What a busy server cannot take now goes before the next request; one that is gone has no shims to give.
        with contextlib.suppress(OSError):
            self._unsent = self._unsent[self._socket.send(self._unsent) :]

    async def _ask(self, folder: Path, lock_fd: int) -> bool:
        """False when the server is of no use any more."""
        assert self._socket is not None
        request = self._unsent + os.fsencode(folder) + b"\0"
        self._unsent = b""
        try:
            if socket.send_fds(self._socket, [request], [lock_fd]) != len(request):
                return False
        except OSError:
            return False
        reply = asyncio.ensure_future(asyncio.get_running_loop().sock_recv(self._socket, 1))
        try:
            await asyncio.wait({reply}, timeout=self._patience_s)
            return reply.done() and not reply.cancelled() and reply.exception() is None and reply.result() != b""
        finally:
            if not reply.done():
                reply.cancel()
                await asyncio.wait({reply})

    def _launch(self) -> None:
        mine, theirs = socket.socketpair()
        mine.setblocking(False)
        with theirs, self._error_path.open("wb") as errors, files.action("launcher.server"):
            descriptor = str(theirs.fileno())
            if self._template is None:
                options, env = ["-I", "-S", "-c", fork_server.BOOT, _PACKAGE_PARENT, descriptor], None
            else:
                options = ["-c", self._boot, descriptor, *self._template.modules]
                env = {**dict(self._template.env), ROOM: "." * ROOM_BYTES}
            try:
                self._process = subprocess.Popen(
                    [sys.executable, *options],
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            except OSError as error:
                mine.close()
                raise Unavailable(f"cannot start {sys.executable} to fork runs from: {error.strerror}.") from error
        self._socket = mine

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            if said := self._error_path.read_text("utf-8", "replace").strip():
                return f"It said: {said[-400:]}"
        return "It said nothing; check memory and the limit on processes."

    async def end(self) -> None:
        """End the server as soon as it has answered whoever waits for it."""
        async with self._turn:
            await asyncio.to_thread(self.close)

    def close(self) -> None:
        """End the server; runs go on. Blocks until it is gone."""
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._socket = self._process = None
        self._unsent = b""
