"""Start a trial with torchrun: ``python3 -m determined.launch.torch_distributed [torchrun arguments --] script ...``.

One process for each slot, on all machines of the trial. The script makes its context with
``DistributedContext.from_torch_distributed()``.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence

from determined._info import get_cluster_info
from determined.errors import FailedPrecondition
from determined.launch import _rank
from determined.launch._arguments import run, split
from determined.launch._children import forwarding
from determined.launch._ends import exit_code
from determined.launch._members import Members, members
from determined.launch._output import Output

MODULE = "determined.launch.torch_distributed"
_PASSED_ON_BY_TORCHRUN = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_HAND_OVER_S = 5.0


def main(arguments: Sequence[str]) -> int:
    """Run the command of ``arguments`` under torchrun; returns the exit code."""
    own, command = split(arguments, MODULE)
    if importlib.util.find_spec("torch") is None:
        raise FailedPrecondition(
            f"{MODULE} needs PyTorch, which is not installed: pip install torch; scripts that do without it are started"
            " with determined.launch.multi"
        )
    who = members(get_cluster_info(), _processes(own))
    return asyncio.run(_Run(who).run(own, command))


def torchrun_arguments(who: Members, own: Sequence[str], command: Sequence[str]) -> list[str]:
    """What torchrun is called with; what the user has given comes later, and so counts."""
    given = ["--nnodes", str(who.machines), "--nproc_per_node", str(who.here), "--max_restarts", "0"]
    has_meeting_place = any(word.startswith(("--rdzv", "--master", "--standalone")) for word in own)
    if who.machines > 1:
        given += ["--node_rank", str(who.machine), "--master_addr", who.chief, "--master_port", str(who.port)]
    elif not has_meeting_place:
        # It picks a free port; a fixed one might belong to another trial of this machine.
        given += ["--standalone", "--local_addr", who.chief]
    return [*given, *own, "--no_python", sys.executable, "-m", "determined.launch._rank", *command]


def _processes(own: Sequence[str]) -> int | None:
    """``--nproc_per_node`` as the user has given it, where it is a number."""
    value = ""
    for word, following in zip(own, [*own[1:], ""], strict=False):
        name, equals, rest = word.replace("-", "_").partition("=")
        if name == "__nproc_per_node":
            value = rest if equals else following
    return int(value) if value.isdecimal() else None


class _Run:
    """One torchrun, and the output of what it starts."""

    def __init__(self, who: Members) -> None:
        self._who = who
        self._output = Output()
        self._pids: list[int] = []
        self._torchrun: asyncio.subprocess.Process | None = None
        self._taking: set[asyncio.Task[None]] = set()

    async def run(self, own: Sequence[str], command: Sequence[str]) -> int:
        arguments = torchrun_arguments(self._who, own, command)
        with tempfile.TemporaryDirectory(prefix="det-") as folder, socket.socket(socket.AF_UNIX) as listener:
            path = f"{folder}/output"
            listener.bind(path)
            listener.listen(self._who.here)
            listener.setblocking(False)
            loop = asyncio.get_running_loop()
            loop.add_reader(listener, self._take, listener)
            env = {**os.environ, "DET_CHIEF_IP": self._who.chief, _rank.OUTPUT: path, **self._interface()}
            with forwarding(self._send):
                self._torchrun = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "determined.launch._torchrun"), *arguments, env=env
                )
                code = exit_code(await self._torchrun.wait())
            loop.remove_reader(listener)
            self._take(listener)
            await asyncio.gather(*self._taking)
            await self._output.finish()
        return code

    def _interface(self) -> dict[str, str]:
        """By which network interface machines reach each other, if the cluster says so and the user does not."""
        name = os.environ.get("DET_INTER_NODE_NETWORK_INTERFACE")
        if not name or self._who.machines == 1:
            return {}
        return {variable: os.environ.get(variable, name) for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")}

    def _take(self, listener: socket.socket) -> None:
        """Processes have started and give their output."""
        with contextlib.suppress(BlockingIOError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(_HAND_OVER_S)
                    told, pipes, _, _ = socket.recv_fds(connection, 64, 2)
                self._show(told, pipes)

    def _show(self, told: bytes, pipes: Sequence[int]) -> None:
        if len(pipes) != 2:
            # It ended before it had said anything.
            return
        rank, pid = map(int, told.split())
        self._pids.append(pid)
        for pipe, target in zip(pipes, (sys.stdout.fileno(), sys.stderr.fileno()), strict=True):
            self._taking.add(asyncio.create_task(self._output.add(pipe, target, rank)))

    def _send(self, number: int) -> None:
        if number in _PASSED_ON_BY_TORCHRUN:
            if self._torchrun is not None and self._torchrun.returncode is None:
                self._torchrun.send_signal(number)
            return
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def cli() -> int:
    """``main`` with the arguments of this process."""
    return run(main)


if __name__ == "__main__":
    sys.exit(cli())
