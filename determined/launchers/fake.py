"""A launcher without processes: tests of the master say when a run starts, prints and ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field

from determined.errors import FailedPrecondition
from determined.launchers.protocol import LauncherListener, LogLine, RunExit, RunSpec, Slot, SlotKind

KILLED = 137


@dataclass
class FakeRun:
    """One run, as the test made it.

    Attributes:
        kills: how often the master asked for its death.
    """

    spec: RunSpec
    is_running: bool = False
    lines: list[LogLine] = field(default_factory=list)
    end: RunExit | None = None
    kills: int = 0
    is_followed: bool = True


class FakeLauncher:
    """Implements the whole contract in memory. It survives `close` and a second `open`, as runs survive the master.

    Between the two, `running`, `log` and `exit` are kept and reported after `adopt`. News is reported in the order in
    which the test made it, and each call returns when the listener has taken it.

    Attributes:
        runs: every run that was started and not removed.
        starts: allocation ids in order of their start.
        kill_code: exit code with which a killed run ends by itself; None leaves the end to the test.
    """

    name = "fake"

    def __init__(self, slots: int = 4, *, clock: Callable[[], float] = lambda: 0.0) -> None:
        self.runs: dict[str, FakeRun] = {}
        self.starts: list[str] = []
        self.kill_code: int | None = KILLED
        self._slots = tuple(Slot(number, SlotKind.CPU, f"fake {number}") for number in range(slots))
        self._clock = clock
        self._listener: LauncherListener | None = None
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def slots(self) -> Sequence[Slot]:
        """As many CPU slots as the test asked for."""
        return self._slots

    async def open(self, listener: LauncherListener) -> None:
        """Report to ``listener`` from now on; may be called again after `close`."""
        self._listener = listener
        self._changed = asyncio.Condition()

    async def start(self, spec: RunSpec) -> None:
        """Record a start."""
        if spec.allocation_id not in self.runs:
            self.runs[spec.allocation_id] = FakeRun(spec)
            self.starts.append(spec.allocation_id)
            await self._notify()

    async def adopt(self, allocation_id: str, lines_known: int) -> bool:
        """Report what happened to a run since the listener left."""
        run = self.runs.get(allocation_id)
        if run is None:
            return False
        if not run.is_followed:
            run.is_followed = True
            self._in_background(self._catch_up(allocation_id, run, lines_known))
        return True

    async def kill(self, allocation_id: str) -> None:
        """Record the wish; the run ends with `kill_code` soon afterwards."""
        run = self.runs.get(allocation_id)
        if run is None or run.end is not None:
            return
        run.kills += 1
        await self._notify()
        if self.kill_code is not None and run.kills == 1:
            self._in_background(self.exit(allocation_id, self.kill_code))

    async def remove(self, allocation_id: str) -> None:
        """Forget an ended run.

        Raises:
            FailedPrecondition: it is not over.
        """
        run = self.runs.get(allocation_id)
        if run is not None and run.end is None:
            raise FailedPrecondition(f"run {allocation_id} is not over; kill it and wait for its end first.")
        self.runs.pop(allocation_id, None)

    async def close(self) -> None:
        """Stop reporting; runs stay."""
        self._listener = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for run in self.runs.values():
            run.is_followed = False

    async def started(self, allocation_id: str) -> RunSpec:
        """Wait until the master has started a run."""
        async with self._changed:
            await self._changed.wait_for(lambda: allocation_id in self.runs)
        return self.runs[allocation_id].spec

    async def started_count(self, count: int) -> list[str]:
        """Wait until the master has started so many runs; their ids in order."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.starts) >= count)
        return list(self.starts)

    async def killed(self, allocation_id: str) -> None:
        """Wait until the master has asked for a run's death."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.runs[allocation_id].kills > 0)

    async def running(self, allocation_id: str) -> None:
        """The run's process exists."""
        run = self.runs[allocation_id]
        run.is_running = True
        if listener := self._listener_of(run):
            await listener.on_running(allocation_id)

    async def log(self, allocation_id: str, *texts: str, stdtype: str = "stdout") -> None:
        """The run prints lines."""
        run = self.runs[allocation_id]
        first = len(run.lines)
        run.lines += [LogLine(self._clock(), stdtype, text) for text in texts]
        if listener := self._listener_of(run):
            await listener.on_logs(allocation_id, first, run.lines[first:])

    async def exit(self, allocation_id: str, code: int | None, reason: str = "") -> None:
        """The run ends; repeated ends are ignored."""
        run = self.runs[allocation_id]
        if run.end is not None:
            return
        run.end = RunExit(code, self._clock(), reason)
        await self._notify()
        if listener := self._listener_of(run):
            await listener.on_exit(allocation_id, run.end)

    async def _catch_up(self, allocation_id: str, run: FakeRun, lines_known: int) -> None:
        assert self._listener is not None
        listener, lines, end = self._listener, run.lines[lines_known:], run.end
        if run.is_running:
            await listener.on_running(allocation_id)
        if lines:
            await listener.on_logs(allocation_id, lines_known, lines)
        if end is not None:
            await listener.on_exit(allocation_id, end)

    def _listener_of(self, run: FakeRun) -> LauncherListener | None:
        return self._listener if run.is_followed else None

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
