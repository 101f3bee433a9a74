"""Reports that a script does not wait for: a thread sends them one after the other, in the order of the calls."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("determined.core")

MOST_WAITING = 1_000
"""Reports that may be under way. Whoever has one more waits: none is dropped to save time."""


class Background:
    """A bounded queue and its thread. Calls may come from several threads, and after a fork.

    What fails is raised by the next call, once. The reports that wait at that moment are dropped: they were made in the
    belief that the one before them had arrived.
    """

    def __init__(self) -> None:
        self._begin()
        if hasattr(os, "register_at_fork"):
            # The thread and what it has to send stay with the parent.
            begin = weakref.WeakMethod(self._begin)
            os.register_at_fork(after_in_child=lambda: (call := begin()) is not None and call())

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Callable[[], object]] = deque()
        self._unsent = 0
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._at_exit: Any = None

    def add(self, send: Callable[[], object]) -> None:
        """Have something sent; waits only while too many reports are under way.

        Raises:
            Exception: what an earlier one has failed with.
        """
        with self._changed:
            # Its own thread, which may come here by a handler of log lines, cannot wait for itself.
            if threading.current_thread() is not self._thread:
                self._changed.wait_for(lambda: self._failure is not None or self._unsent < MOST_WAITING)
                self._raise_failure()
            self._waiting.append(send)
            self._unsent += 1
            self._changed.notify_all()
            if self._thread is None:
                # A daemon, so that a script whose master is away can still be interrupted.
                thread = threading.Thread(target=self._run, name="background-reports", daemon=True)
                thread.start()
                self._thread = thread
                self._finish_at_exit()

    def finish(self) -> None:
        """Wait until everything has been sent.

        Raises:
            Exception: what one of them has failed with.
        """
        with self._changed:
            if threading.current_thread() is not self._thread:
                self._changed.wait_for(lambda: self._failure is not None or self._unsent == 0)
                self._raise_failure()

    def close(self) -> None:
        """The same, and let the thread end; a later report starts another one.

        Raises:
            Exception: what one of them has failed with.
        """
        try:
            self.finish()
        finally:
            with self._changed:
                # When the wait was interrupted, nobody waits a second time for a master that is away.
                self._unsent -= len(self._waiting)
                self._waiting.clear()
                self._thread = None
                self._changed.notify_all()
                atexit.unregister(self._finish_quietly)
                if self._at_exit is not None:
                    self._at_exit.cancel()

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _finish_at_exit(self) -> None:
        """For scripts that do not leave the block of their context; others have waited, and heard of failures."""
        atexit.register(self._finish_quietly)
        # Children that multiprocessing forks end without what atexit knows.
        util = sys.modules.get("multiprocessing.util")
        self._at_exit = None if util is None else util.Finalize(None, self._finish_quietly, exitpriority=10)

    def _finish_quietly(self) -> None:
        try:
            self.finish()
        except Exception as error:
            logger.error("a report did not reach the master: %s", error)

    def _run(self) -> None:
        me = threading.current_thread()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._thread is not me)
                if self._thread is not me:
                    return
                send = self._waiting.popleft()
            failure: BaseException | None = None
            try:
                send()
            except BaseException as error:
                failure = error
            with self._changed:
                self._unsent -= 1
                if failure is not None and self._thread is me:
                    self._failure = failure
                    self._unsent -= len(self._waiting)
                    self._waiting.clear()
                self._changed.notify_all()
