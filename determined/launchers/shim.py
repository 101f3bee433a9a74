"""The shim: the parent process of a run. It keeps the run's output and exit code when no master lives.

It is forked by `determined.launchers.fork_server` and uses the standard library only. When every process of the run has
ended it ends as well, or waits for another run. While it, or any process that inherited its lock, holds that, the run
counts as alive.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
from pathlib import Path
from typing import Any, NoReturn

from determined import files
from determined.launchers import leash, paths, tree
from determined.launchers.child import Child
from determined.launchers.news import News
from determined.launchers.spool import LineSplitter, Spool, format_line
from determined.steps import step

RETRY_S = 1.0
"""Between attempts to write to a full disk."""
_READ_BYTES = 1 << 16
_NAME = "det-shim"
_NAME_WAITING = "det-waiting"
HELD_BACK = (signal.SIGTERM, signal.SIGCHLD, signal.SIGINT, signal.SIGHUP)
"""Signals that are blocked whenever a shim has no run."""
_DRAIN_READS = 1024
"""More than a pipe can hold; a stranger that was handed the pipe must not keep us."""


def main(folder: Path, lock_fd: int, ready_fd: int) -> NoReturn:
    """Run the trial of ``folder`` to its end; never returns. Termination signals must be blocked by the caller.

    Args:
        folder: the run's folder, with its spec.
        lock_fd: the run's lock, taken.
        ready_fd: gets a byte when the run is on record as started, and is closed in any case.
    """
    os.setsid()
    _run(folder, lock_fd, ready_fd, None)
    os._exit(0)


def stand_by(requests: socket.socket) -> NoReturn:
    """Do the same for one run after the other that is asked for on a socket, each with a child that was forked before.

    Args:
        requests: gives a folder, with the two descriptors attached, after each run; is closed if there will be no more.
    """
    os.setsid()
    while True:
        tree.become_reaper(_NAME_WAITING)
        child = Child()
        folder, descriptors, _, _ = socket.recv_fds(requests, 1 << 16, 2)
        if not descriptors:
            # The child ends with us.
            os._exit(0)
        _forget_signals()
        lock_fd, ready_fd = descriptors
        _run(Path(os.fsdecode(folder)), lock_fd, ready_fd, child)


def _forget_signals() -> None:
    """Whoever told us to stop meant the run before, and nobody knows yet that we have another."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _run(folder: Path, lock_fd: int, ready_fd: int, child: Child | None) -> None:
    """Returns if this process can have another run."""
    code = 0
    try:
        # The child gets the lock from us by another way.
        os.set_inheritable(lock_fd, False)
        if claim(folder, child) and Shim(folder, lock_fd).run(ready_fd, child):
            return
    except BaseException:
        with contextlib.suppress(OSError):
            paths.write_new(folder / paths.SHIM_ERROR, _traceback(), "shim.error")
        tree.kill_descendants(None, {})
        code = 70
    os._exit(code)


def claim(folder: Path, child: Child | None = None) -> bool:
    """Make this process the run's one shim, for ever; False when another was first.

    Args:
        child: that waits to become the run's program, if it is there already.
    """
    with files.action("shim.claim"):
        try:
            descriptor = os.open(folder / paths.SHIM, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(_identity(None if child is None else child.pid))
    return True


def _traceback() -> str:
    import traceback

    return traceback.format_exc()


def _identity(child: int | None) -> str:
    pid = os.getpid()
    return json.dumps({"pid": pid, "start_ticks": tree.start_ticks(pid), "child": child})


class Shim:
    """State of a shim: two streams being copied, a child, and a wish to die."""

    def __init__(self, folder: Path, lock_fd: int) -> None:
        self._folder = folder
        self._lock_fd = lock_fd
        self._spec: dict[str, Any] = json.loads((folder / paths.SPEC).read_bytes())
        self._spool = Spool(folder / paths.LOG)
        self._news = News(folder.parent / paths.NEWS, folder.name)
        self._streams: dict[int, tuple[str, LineSplitter]] = {}
        self._poll = select.poll()
        self._paused_poll = select.poll()
        self._reaped: dict[int, int] = {}
        self._has_children = True
        self._told_to_stop = False
        self._kill_at: float | None = None

    def run(self, ready_fd: int, waiting: Child | None = None) -> bool:
        """Start, copy, clean up, record.

        Args:
            waiting: what is to become the run's program; None: fork it.

        Returns:
            Whether the end is on record and the master has been told. If not, it notices when this process ends.
        """
        tree.become_reaper(_NAME)
        self._wake_fd = self._listen_to_signals()
        self._leash_fd = self._take_leash()
        child, failure = self._start_child(waiting)
        if failure or waiting is None:
            # Another child than the one of the claim, or none.
            record = _identity(None if failure else child)
            paths.write_atomic(self._folder / paths.SHIM, record, "shim.start", sync=False)
        step("shim.ready.before")
        os.write(ready_fd, b"1")
        os.close(ready_fd)
        step("shim.ready.after")
        self._news.announce()
        self._make_start_durable()
        self._copy_until_over(child)
        with files.action("shim.kill"):
            tree.kill_descendants(child, self._reaped)
        self._drain()
        if failure:
            self._spool.append(format_line(time.time(), "e", failure[1].encode("utf-8", "replace")))
        code = failure[0] if failure else _exit_code(self._reaped[child])
        is_recorded = self._record(code, failure[1] if failure else "")
        # All is done: nobody has to wait until a large process has given back its memory, or takes it for a run's.
        tree.become_reaper(_NAME_WAITING)
        os.close(self._lock_fd)
        self._close()
        return self._news.announce() and is_recorded

    def _listen_to_signals(self) -> int:
        """A descriptor that becomes readable when we are told to stop or a child ends."""
        wake, feed = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(feed, False)
        signal.set_wakeup_fd(feed, warn_on_full_buffer=False)
        self._feed_fd = feed
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        self._poll.register(wake, select.POLLIN)
        self._paused_poll.register(wake, select.POLLIN)
        return wake

    def _take_leash(self) -> int | None:
        """A descriptor that tells when the keeper of the run is gone; None for a run that lives on without one."""
        if self._spec["leash"] is None:
            return None
        descriptor = leash.grasp(Path(self._spec["leash"]))
        if descriptor is None:
            self._told_to_stop = True
        else:
            self._poll.register(descriptor, 0)
            self._paused_poll.register(descriptor, 0)
        return descriptor

    def _start_child(self, waiting: Child | None) -> tuple[int, tuple[int, str] | None]:
        with files.action("shim.spawn"):
            child = waiting or Child()
            failure = child.go(self._folder, self._lock_fd)
        for fd, mark in ((child.out, "o"), (child.err, "e")):
            os.set_blocking(fd, False)
            self._streams[fd] = (mark, LineSplitter())
            self._poll.register(fd, select.POLLIN)
        return child.pid, failure

    def _close(self) -> None:
        """Leave nothing behind for another run."""
        signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
        signal.set_wakeup_fd(-1)
        self._spool.close()
        leash_fds = () if self._leash_fd is None else (self._leash_fd,)
        for descriptor in (self._wake_fd, self._feed_fd, *self._streams, *leash_fds):
            os.close(descriptor)

    def _make_start_durable(self) -> None:
        """After a power failure the run must not look as if it had never started. The run goes on meanwhile."""
        with files.action("shim.sync"):
            files.sync(self._folder / paths.SHIM)
            files.sync(self._folder)
            files.sync(self._folder.parent)

    def _copy_until_over(self, child: int) -> None:
        """Returns when no process is left, or when those left must be killed."""
        while self._has_children:
            if child in self._reaped and self._kill_at is None:
                self._kill_at = time.monotonic() + self._spec["grace_s"]
            if self._told_to_stop or (self._kill_at is not None and time.monotonic() >= self._kill_at):
                return
            poll = self._paused_poll if self._spool.blocked else self._poll
            for fd, _ in poll.poll(self._patience_ms()):
                if fd == self._wake_fd:
                    self._on_signals()
                elif fd == self._leash_fd:
                    self._on_keeper_gone(fd)
                elif self._copy(fd) == b"":
                    self._poll.unregister(fd)
            if self._spool.blocked:
                self._spool.retry()
            self._news.flush_if_due()

    def _patience_ms(self) -> float | None:
        waits = [self._news.due_in()]
        if self._kill_at is not None:
            waits.append(self._kill_at - time.monotonic())
        if self._spool.blocked:
            waits.append(RETRY_S)
        known = [wait for wait in waits if wait is not None]
        return max(0.0, min(known)) * 1000 + 1 if known else None

    def _on_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while numbers := os.read(self._wake_fd, 512):
                self._told_to_stop = self._told_to_stop or signal.SIGTERM in numbers
        self._has_children = tree.reap(self._reaped)

    def _on_keeper_gone(self, descriptor: int) -> None:
        self._told_to_stop = True
        self._poll.unregister(descriptor)
        self._paused_poll.unregister(descriptor)

    def _copy(self, fd: int) -> bytes | None:
        """Copy one chunk and return it; None when there is none now, b"" when there will be none."""
        mark, splitter = self._streams[fd]
        try:
            data = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return None
        self._append(mark, splitter.feed(data))
        return data

    def _append(self, mark: str, pieces: list[bytes]) -> None:
        if pieces:
            now = time.time()
            with files.action("shim.log"):
                self._spool.append(b"".join([format_line(now, mark, piece) for piece in pieces]))
            self._news.note()

    def _drain(self) -> None:
        """What is in the pipes after the last writer is gone."""
        for fd, (mark, splitter) in self._streams.items():
            for _ in range(_DRAIN_READS):
                if not self._copy(fd):
                    break
            self._append(mark, splitter.finish())

    def _record(self, code: int, reason: str) -> bool:
        """Write the end, for as long as the disk refuses and nobody tells us to give up; False if it was in vain."""
        record = json.dumps({"code": code, "at": time.time(), "reason": reason})
        while True:
            try:
                with files.action("shim.log.sync"):
                    self._spool.sync()
                paths.write_atomic(self._folder / paths.EXIT, record, "shim.exit")
                return True
            except FileNotFoundError:
                # Somebody has deleted the folder: nobody will ever look for how the run ended.
                return False
            except OSError:
                self._paused_poll.poll(RETRY_S * 1000)
                was_told = self._told_to_stop
                self._on_signals()
                if self._told_to_stop and not was_told:
                    raise


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
