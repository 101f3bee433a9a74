"""An event loop for asyncio whose time is the simulation's, and which dies with the process that it belongs to."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from tests.simulation.processes import Host

TURN = "turn"
"""Kind of the events that are only turns of a loop."""


class SimulatedLoop(asyncio.AbstractEventLoop):
    """Just enough of a loop for code that does no I/O of its own; work for threads is done on the spot.

    Attributes:
        errors: what callbacks and tasks raised and nobody took.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.errors: list[BaseException] = []
        self._tasks: dict[asyncio.Task[Any], None] = {}

    # What asyncio asks of a loop

    def time(self) -> float:
        return self.host.clock.now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return not self.host.alive

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._later(0.0, handle)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._later(max(when - self.time(), 0.0), handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It will find itself cancelled when it is due."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], **named: Any) -> asyncio.Task[Any]:  # type: ignore[override]
        task = asyncio.Task(coro, loop=self, **named)
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        return task

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as e:
            future.set_exception(e)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if self.host.alive and isinstance(error, BaseException):
            self.errors.append(error)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    # The simulation

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        with self.running():
            return self.create_task(work)

    @contextmanager
    def running(self) -> Iterator[None]:
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(None)

    @contextmanager
    def noticing(self, kind: type[BaseException]) -> Iterator[None]:
        """Errors of this kind end the play, whoever takes them."""
        try:
            yield
        except kind as e:
            self.errors.append(e)
            raise

    def end(self) -> None:
        """The process is dead: nothing of what it had begun goes on."""
        with self.running():
            for task in list(self._tasks):
                _bury(task)

    def _later(self, delay_s: float, handle: asyncio.Handle) -> None:
        name = self.host.name
        self.host.clock.after(delay_s, lambda: self.host.do(lambda: self._turn(handle)), name, TURN)

    def _turn(self, handle: asyncio.Handle) -> None:
        if handle.cancelled():
            return
        with self.running():
            handle._run()
        if self.errors:
            raise self.errors.pop()


def _bury(task: asyncio.Task[Any]) -> None:
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    coroutine = task.get_coro()
    if task.done() or not isinstance(coroutine, Coroutine):
        return
    try:
        coroutine.close()
    except (Exception, asyncio.CancelledError):
        # It minded, but it is dead all the same.
        return
