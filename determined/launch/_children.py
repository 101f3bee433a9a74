"""Several processes as one: signals reach all of them, and when one fails the others are ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

from determined.launch._ends import cannot_start, exit_code, say
from determined.launch._output import Output

GRACE_S = 10.0
"""From the request to end to the end by force. Ranks of a trial that has failed have nothing to save."""
_FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH")


@contextlib.contextmanager
def forwarding(send: Callable[[int], None]) -> Iterator[None]:
    """Call ``send`` for every signal that is meant for the processes of a trial, in the running event loop."""
    loop = asyncio.get_running_loop()
    numbers = [getattr(signal, name) for name in _FORWARDED if hasattr(signal, name)]
    for number in numbers:
        loop.add_signal_handler(number, send, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


class Children:
    """The processes of this machine, one for each rank."""

    def __init__(self) -> None:
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._output = Output()

    async def run(self, command: Sequence[str], environments: Mapping[int, Mapping[str, str]]) -> int:
        """Run the command once for each rank, to the end of all.

        Args:
            environments: rank -> whole environment.
        Returns:
            0 when all have ended with 0; else the code of the first that did not.
        """
        with forwarding(self.send):
            try:
                for rank, env in environments.items():
                    await self._start(rank, command, env)
                return await self._until_over()
            except OSError as error:
                return cannot_start(command, error)
            finally:
                await self._end()
                await self._output.finish()

    def send(self, number: int) -> None:
        """Send a signal to all that run."""
        for process in self._processes.values():
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(number)

    async def _start(self, rank: int, command: Sequence[str], env: Mapping[str, str]) -> None:
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        try:
            self._processes[rank] = await asyncio.create_subprocess_exec(
                *command, env=env, stdin=asyncio.subprocess.DEVNULL, stdout=out_end, stderr=err_end
            )
        finally:
            os.close(out_end)
            os.close(err_end)
            await self._output.add(out, sys.stdout.fileno(), rank)
            await self._output.add(err, sys.stderr.fileno(), rank)

    async def _until_over(self) -> int:
        waiting = {asyncio.create_task(process.wait()): rank for rank, process in self._processes.items()}
        left = set(waiting)
        while left:
            done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=lambda one: waiting[one]):
                if code := exit_code(task.result()):
                    say(f"rank {waiting[task]} has failed with exit code {code}; the others are ended")
                    return code
        return 0

    async def _end(self) -> None:
        self.send(signal.SIGTERM)
        waiting = [asyncio.create_task(p.wait()) for p in self._processes.values() if p.returncode is None]
        if waiting:
            _, left = await asyncio.wait(waiting, timeout=GRACE_S)
            if left:
                self.send(signal.SIGKILL)
                await asyncio.wait(left)
