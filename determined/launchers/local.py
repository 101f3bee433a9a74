"""Runs as processes of this machine. They outlive the master, which finds them again by their folders."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import stat
import time
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path

from determined import files
from determined.errors import FailedPrecondition, InvalidInput, Unavailable
from determined.files import action
from determined.launchers import leash, paths, sweep
from determined.launchers.deleting import delete_tree
from determined.launchers.devices import find_slots
from determined.launchers.forker import Forker
from determined.launchers.prepare import clear, clear_ended, cool, prepare
from determined.launchers.protocol import LauncherListener, RunSpec, Slot
from determined.launchers.run import Run, record_exit
from determined.launchers.spool import Spool, format_line
from determined.launchers.templates import Template
from determined.launchers.used_folders import UsedFolders
from determined.launchers.warm_forkers import WarmForkers

UNUSABLE = 1
"""Exit code of a run whose specification cannot be used."""
KILLED = 137
"""Exit code of a run that was killed before it had a process."""
_NEWS_BYTES = 1 << 16
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_log = logging.getLogger(__name__)


class LocalLauncher:
    """Runs allocations as processes beside the master, below ``<data_dir>/runs``.

    One launcher at a time may be open on a folder; the master's own lock sees to that.
    """

    name = "local"

    def __init__(self, data_dir: Path, slots: int | None = None, *, leashed: bool = False) -> None:
        """Nothing is touched before `open`.

        Args:
            data_dir: the master's data folder.
            slots: how many slots; see `determined.launchers.devices.find_slots`.
            leashed: runs die with this process; see `determined.launchers.leash`. Else they outlive it.
        """
        self._runs_dir = data_dir.resolve() / "runs"
        self._slot_limit = slots
        self._leash = self._runs_dir / paths.LEASH if leashed else None
        self._leash_fd: int | None = None
        self._forker = Forker(self._runs_dir)
        self._warm_forkers = WarmForkers(self._runs_dir, leashed=leashed)
        self._used = UsedFolders(self._runs_dir)
        self._runs: dict[str, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._starts: set[asyncio.Task[None]] = set()
        self._listener: LauncherListener | None = None
        self._closing = False
        self._news_fd: int | None = None
        self._news_rest = b""

    @cached_property
    def _slots(self) -> tuple[Slot, ...]:
        return find_slots(self._slot_limit)

    def slots(self) -> Sequence[Slot]:
        """GPUs, or shares of the cores; the first call may take seconds where there are GPUs."""
        return self._slots

    def log_path(self, allocation_id: str) -> Path:
        """Where a run's output is kept, as text for people, until `remove`."""
        return _run_folder(self._runs_dir, allocation_id) / paths.LOG

    async def open(self, listener: LauncherListener) -> None:
        """Begin to report to ``listener``."""
        self._listener = listener
        self._closing = False
        files.make_folder(self._runs_dir, "launcher.runs", 0o700)
        fifo = self._runs_dir / paths.NEWS
        if not fifo.exists() or not stat.S_ISFIFO(fifo.stat().st_mode):
            with action("launcher.fifo"):
                fifo.unlink(missing_ok=True)
                os.mkfifo(fifo, 0o600)
        self._news_fd = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
        if self._leash is not None:
            self._leash_fd = leash.hold(self._leash)
        asyncio.get_running_loop().add_reader(self._news_fd, self._on_news)
        await asyncio.to_thread(clear_ended, self._runs_dir)
        await asyncio.to_thread(self._used.clear)
        self._keep_start(asyncio.create_task(self._warm_up()))
        await asyncio.to_thread(self.slots)

    async def start(self, spec: RunSpec) -> None:
        """Start a run in the background.

        Raises:
            InvalidInput: the allocation id cannot name a folder, or is not the one in ``spec.env``.
        """
        folder = _run_folder(self._runs_dir, spec.allocation_id)
        if spec.env.get("DET_ALLOCATION_ID") != spec.allocation_id:
            raise InvalidInput(
                f"run {spec.allocation_id}: DET_ALLOCATION_ID in its environment is "
                f"{spec.env.get('DET_ALLOCATION_ID')!r}; it must be the allocation id, by which processes are found."
            )
        if spec.allocation_id not in self._runs:
            run = self._add(spec.allocation_id, folder)
            self._keep(asyncio.create_task(self._begin(run, spec)))

    async def adopt(self, allocation_id: str, lines_known: int) -> bool:
        """Take up a run of an earlier master."""
        folder = _run_folder(self._runs_dir, allocation_id)
        if allocation_id in self._runs:
            return True
        if not _was_started(folder):
            return False
        run = self._add(allocation_id, folder)
        await asyncio.to_thread(run.reader.skip_to, lines_known)
        self._keep(asyncio.create_task(run.follow()))
        return True

    async def kill(self, allocation_id: str) -> None:
        """Kill every process of a run."""
        run = self._runs.get(allocation_id)
        if run is not None and not run.is_over:
            run.kill()

    async def remove(self, allocation_id: str) -> None:
        """Forget an ended run and delete its folder.

        Raises:
            FailedPrecondition: the run is not over.
        """
        folder = _run_folder(self._runs_dir, allocation_id)
        run = self._runs.get(allocation_id)
        if (run is not None and not run.is_over) or sweep.is_held(folder / paths.LOCK):
            raise FailedPrecondition(f"run {allocation_id} is not over; kill it and wait for its end first.")
        if run is not None and run.tidied is not None:
            await asyncio.shield(run.tidied)
        self._used.forget(folder)
        await asyncio.to_thread(delete_tree, folder)
        self._runs.pop(allocation_id, None)

    async def close(self) -> None:
        """Stop reporting. Runs go on; a start that has not come to its process yet is left for the next master."""
        self._closing = True
        for run in self._runs.values():
            run.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._starts, return_exceptions=True)
        if self._news_fd is not None:
            asyncio.get_running_loop().remove_reader(self._news_fd)
            os.close(self._news_fd)
            self._news_fd = None
        if self._leash_fd is not None:
            os.close(self._leash_fd)
            self._leash_fd = None
        await asyncio.gather(*(run.tidied for run in self._runs.values() if run.tidied is not None))
        await asyncio.to_thread(self._forker.close)
        await self._warm_forkers.close()
        await asyncio.to_thread(self._used.clear)
        self._runs.clear()

    def _add(self, allocation_id: str, folder: Path) -> Run:
        assert self._listener is not None, "the launcher is not open"
        run = Run(
            allocation_id,
            folder,
            self._listener,
            spare=lambda: {self._forker.pid or 0, *self._warm_forkers.pids},
            release=self._warm_forkers.release,
            clear=partial(clear, used=self._used),
        )
        self._runs[allocation_id] = run
        return run

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_report_failure)

    def _keep_start(self, task: asyncio.Task[None]) -> None:
        """Starts are finished, not cancelled, by `close`: a thread or another process is at work for them."""
        self._starts.add(task)
        task.add_done_callback(self._starts.discard)

    async def _warm_up(self) -> None:
        with contextlib.suppress(Unavailable):  # the first start says it
            await self._forker.warm_up()

    async def _begin(self, run: Run, spec: RunSpec) -> None:
        """Start a run, unless that was done before, and follow it."""
        starting = asyncio.create_task(self._start_process(run, spec))
        self._keep_start(starting)
        await asyncio.shield(starting)
        await run.follow()

    async def _start_process(self, run: Run, spec: RunSpec) -> None:
        """Leaves a process, or the record of an end, or at least the reason why there is none."""
        try:
            with action("launcher.folder"):
                run.folder.mkdir(mode=0o700, exist_ok=True)
            lock_fd = None if _was_started(run.folder) else sweep.take_lock(run.folder / paths.LOCK)
            if lock_fd is not None:
                try:
                    await self._start_locked(run, spec, lock_fd)
                finally:
                    os.close(lock_fd)
        except InvalidInput as error:
            await asyncio.to_thread(_refuse, run.folder, str(error))
        except (OSError, Unavailable) as error:
            run.start_failure = f"the run could not be started: {error}"
        except Exception as error:  # Whatever it is, the trial must not wait for ever.
            _log.exception("run %s could not be started", run.folder.name)
            run.start_failure = f"the run could not be started: {type(error).__name__}: {error}"

    async def _start_locked(self, run: Run, spec: RunSpec, lock_fd: int) -> None:
        with action("launcher.prepare"):
            template = await asyncio.to_thread(prepare, run.folder, spec, self.slots(), self._used, self._leash)
        if run.kill_wanted:
            await asyncio.to_thread(record_exit, run.folder, KILLED, "killed before it had a process.")
        elif not self._closing:
            with action("launcher.spawn"):
                await self._spawn(run.folder, lock_fd, template)

    async def _spawn(self, folder: Path, lock_fd: int, template: Template | None) -> None:
        if template is not None:
            try:
                await self._warm_forkers.spawn(template, folder, lock_fd)
                return
            except Unavailable as error:
                _log.warning("%s is started in an interpreter of its own: %s", folder.name, error)
                await asyncio.to_thread(cool, folder)
        await self._forker.spawn(folder, lock_fd)

    def _on_news(self) -> None:
        assert self._news_fd is not None
        with contextlib.suppress(BlockingIOError):
            *ids, self._news_rest = (self._news_rest + os.read(self._news_fd, _NEWS_BYTES)).split(b"\n")
            for allocation_id in set(ids):
                if run := self._runs.get(allocation_id.decode("ascii", "replace")):
                    run.wake()


def _run_folder(runs: Path, allocation_id: str) -> Path:
    """The folder of a run.

    Raises:
        InvalidInput: the id cannot be a file name.
    """
    if not _ID.fullmatch(allocation_id):
        raise InvalidInput(
            f"allocation id {allocation_id!r} cannot name a folder; allowed are up to 200 letters, digits, '.', "
            "'_' and '-', beginning with a letter or digit."
        )
    return runs / allocation_id


def _was_started(folder: Path) -> bool:
    """The lock is held from before the first process of a run exists, so there is no moment between."""
    return (
        sweep.is_held(folder / paths.LOCK)
        or folder.joinpath(paths.SHIM).exists()
        or folder.joinpath(paths.EXIT).exists()
    )


def _refuse(folder: Path, reason: str) -> None:
    """The end of a run that is its own fault: people find the reason in its log. Blocking."""
    with contextlib.suppress(OSError), contextlib.closing(Spool(folder / paths.LOG)) as spool:
        for line in reason.splitlines():
            spool.append(format_line(time.time(), "e", line.encode("utf-8", "replace")))
    record_exit(folder, UNUSABLE, reason)


def _report_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("following a run failed", exc_info=error)
