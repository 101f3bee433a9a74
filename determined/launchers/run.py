"""One run as the master sees it: from the files its shim writes to the listener's calls, in order and each once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from determined.launchers import paths, sweep
from determined.launchers.protocol import LauncherListener, RunExit
from determined.launchers.spool_reader import SpoolReader
from determined.launchers.telling import tell
from determined.launchers.watch import ShimWatch, call_when_free

KILL_PATIENCE_S = 5.0
"""After which a shim that was told to kill its run is killed itself, and the run by other means."""
_log = logging.getLogger(__name__)


class Run:
    """Follows one run until its end has been reported.

    Attributes:
        kill_wanted: the run was told to die; a starter that has not started it yet must not.
        is_over: no process of it exists and its end is known; perhaps the listener is being told.
        tidied: deletes the run's files after its end.
        start_failure: why there is no process, when the machine is to blame.
    """

    def __init__(
        self,
        allocation_id: str,
        folder: Path,
        listener: LauncherListener,
        spare: Callable[[], set[int]],
        release: Callable[[Path], None],
        clear: Callable[[Path], None],
    ) -> None:
        """Follow a run that has been, or is about to be, started.

        Args:
            spare: processes that are never killed.
            release: called with the folder once nothing more is wanted of the run's shim.
            clear: deletes in the folder what nobody needs after the end; blocking.
        """
        self.allocation_id = allocation_id
        self.folder = folder
        self.kill_wanted = False
        self.is_over = False
        self.start_failure = ""
        self.tidied: asyncio.Task[None] | None = None
        self.reader = SpoolReader(folder / paths.LOG)
        self._listener = listener
        self._spare = spare
        self._release = release
        self._clear = clear
        self._wake = asyncio.Event()
        self._watch: ShimWatch | None = None
        self._waits_for_lock = False
        self._escalation: asyncio.TimerHandle | None = None
        self._gone = False
        self._closed = False
        self._told_running = False

    def wake(self) -> None:
        """There is something new on disk."""
        self._wake.set()

    def kill(self) -> None:
        """Tell the shim to kill the run; if it does not, kill the shim."""
        self.kill_wanted = True
        if self._gone:
            return
        if self._watch is not None:
            self._watch.send(signal.SIGTERM)
        if self._escalation is None:
            self._escalation = asyncio.get_running_loop().call_later(KILL_PATIENCE_S, self._escalate)

    def close(self) -> None:
        """Stop following; the run goes on."""
        self._closed = True
        if self._watch is not None:
            self._watch.close()
        if self._escalation is not None:
            self._escalation.cancel()

    async def follow(self) -> None:
        """Report everything until the run has ended. The run's lock must have been taken before."""
        self._wake.set()
        while not self._gone:
            await self._wake.wait()
            self._wake.clear()
            if self._watch is None and not self._gone:
                self._look()
            elif self._is_recorded():
                self._on_gone()
            elif self.folder.joinpath(paths.EXIT).exists():
                # The shim may stay, so that nothing else tells when the lock is free.
                self._await_lock()
            await self._tell_running()
            await self._tell_logs()
        end = self._recorded() or await asyncio.to_thread(self._conclude)
        if end is None:
            return
        self._release(self.folder)
        await self._tell_running()
        await self._tell_logs(final=True)
        self.is_over = True
        await self._tell(lambda: self._listener.on_exit(self.allocation_id, end))
        self.tidied = asyncio.create_task(asyncio.to_thread(self._tidy))
        await asyncio.shield(self.tidied)

    def _look(self) -> None:
        """Find out whether the run lives and who its shim is. Lock first: it is held from before the start."""
        lock = self.folder / paths.LOCK
        if not sweep.is_held(lock):
            self._on_gone()
        elif (shim := paths.read_record(self.folder / paths.SHIM)) is not None:
            self._watch = ShimWatch.open(shim["pid"], shim["start_ticks"], lock, self._on_gone)
            if self._watch is None:
                self._on_gone()
            elif self.kill_wanted:
                self._watch.send(signal.SIGTERM)
        else:
            self._await_lock()

    def _await_lock(self) -> None:
        if not self._waits_for_lock:
            self._waits_for_lock = True
            call_when_free(self.folder / paths.LOCK, self._on_lock_free)

    def _is_recorded(self) -> bool:
        """Whether the shim has done everything, although it may still be there for some milliseconds."""
        return self.folder.joinpath(paths.EXIT).exists() and not sweep.is_held(self.folder / paths.LOCK)

    def _on_gone(self) -> None:
        """From now on the shim may be another run's, or its pid another process's."""
        self._gone = True
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        if self._escalation is not None:
            self._escalation.cancel()
        self._wake.set()

    def _on_lock_free(self) -> None:
        self._waits_for_lock = False
        self._wake.set()

    def _escalate(self) -> None:
        _log.warning("run %s was not killed by its shim within %s s", self.allocation_id, KILL_PATIENCE_S)
        if self._watch is None:
            self._on_gone()
        else:
            self._watch.send(signal.SIGKILL)

    async def _tell_running(self) -> None:
        if not self._told_running:
            shim = paths.read_record(self.folder / paths.SHIM)
            if shim is not None and shim["child"] is not None:
                self._told_running = True
                await self._tell(lambda: self._listener.on_running(self.allocation_id))

    async def _tell_logs(self, *, final: bool = False) -> None:
        # Mostly there are none, and a thread takes longer than to see that.
        while self.reader.has_more():
            first = self.reader.next_index
            lines = await asyncio.to_thread(lambda: self.reader.read(final=final))
            if not lines:
                return
            await self._tell(lambda: self._listener.on_logs(self.allocation_id, first, lines))  # noqa: B023

    async def _tell(self, call: Callable[[], Awaitable[None]]) -> None:
        await tell(self.allocation_id, call)

    def _recorded(self) -> RunExit | None:
        """The end, if it is on record and no process is left; quick."""
        record = paths.read_record(self.folder / paths.EXIT) if self._is_recorded() else None
        return None if record is None else _end(record)

    def _conclude(self) -> RunExit | None:
        """Make sure that no process is left, and read or write the record of the end; None when closed meanwhile."""
        record = paths.read_record(self.folder / paths.EXIT)
        lock = self.folder / paths.LOCK
        if record is None or sweep.is_held(lock):
            if not sweep.kill_all(self.folder, self._spare(), lambda: self._closed):
                return None
            record = paths.read_record(self.folder / paths.EXIT)
        if record is None:
            record = record_exit(self.folder, None, self._why_lost())
        return _end(record)

    def _why_lost(self) -> str:
        if self.start_failure:
            return self.start_failure
        reason = "the run's end was not recorded: the process that watched it was killed, or the machine restarted."
        with contextlib.suppress(OSError):
            error = self.folder.joinpath(paths.SHIM_ERROR).read_text("utf-8", "replace").strip()
            reason += f" It left this error: {error.splitlines()[-1] if error else 'none'}"
        return reason

    def _tidy(self) -> None:
        try:
            self._clear(self.folder)
        except OSError as error:
            _log.warning("files of the ended run %s stay behind: %s", self.allocation_id, error)


def _end(record: Mapping[str, Any]) -> RunExit:
    return RunExit(record["code"], record["at"], record["reason"])


def record_exit(folder: Path, code: int | None, reason: str) -> dict[str, Any]:
    """Record an end that no shim saw; a disk that refuses costs the record only. Blocking."""
    record = {"code": code, "at": time.time(), "reason": reason}
    try:
        paths.write_atomic(folder / paths.EXIT, json.dumps(record), "launcher.exit")
    except OSError as error:
        _log.warning("the end of run %s could not be recorded: %s", folder.name, error)
    return record
