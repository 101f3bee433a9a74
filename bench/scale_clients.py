"""Simulated trials for ``bench.scale``: ``python -m bench.scale_clients SOCKET``.

A run passes the start line, asks for its operation, reports one metric, completes the operation and exits in good
order, over connections that all runs share. While the master is away its calls are repeated until it is back, as those
of the Core API are. Ends when its standard input is closed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

_LONGEST_LINE = 1 << 20
_PAUSE_S = 0.05
"""Between attempts to reach a master that is away; what connects them does not tell when it is back."""


class Connections:
    """Connections to the master that are used again."""

    def __init__(self) -> None:
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def call(self, method: str, env: dict[str, str], path: str, body: Any = None) -> Any:
        """The answer to a call, however long the master is away.

        Raises:
            RuntimeError: it is refused.
        """
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(data)}\r\n"
        request = f"{head}Grpc-Metadata-x-allocation-token: Bearer {env['DET_SESSION_TOKEN']}\r\n\r\n".encode() + data
        while True:
            try:
                return await self._once(env["DET_MASTER"], request, path)
            except (OSError, EOFError):
                self._free.clear()
                await asyncio.sleep(_PAUSE_S)

    async def _once(self, master: str, request: bytes, path: str) -> Any:
        host, port = master.partition("://")[2].split(":")
        reader, writer = self._free.pop() if self._free else await asyncio.open_connection(host, int(port))
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        data = await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
        if head.split()[1] != "200":
            raise RuntimeError(f"{path} was answered with {head.split()[1]}: {data!r:.300}")
        self._free.append((reader, writer))
        return json.loads(data)


class Clients:
    """All runs, and the master's launcher while it is connected."""

    def __init__(self) -> None:
        self.connections = Connections()
        self.runs: dict[str, int | None] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.master: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk with a launcher until it goes."""
        writer.write(json.dumps(list(self.runs.items())).encode() + b"\n")
        self.master = writer
        while line := await _line(reader):
            what, allocation_id, env = json.loads(line)
            if what == "forget":
                self.runs.pop(allocation_id, None)
            elif allocation_id not in self.runs:
                self.runs[allocation_id] = None
                task = asyncio.create_task(self.train(allocation_id, env))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)

    async def train(self, allocation_id: str, env: dict[str, str]) -> None:
        """Be one run."""
        code = 1
        try:
            await self._train(allocation_id, env)
            code = 0
        except RuntimeError as error:
            print(error, file=sys.stderr, flush=True)
        self.runs[allocation_id] = code
        if self.master is not None and not self.master.is_closing():
            self.master.write(json.dumps([allocation_id, code]).encode() + b"\n")

    async def _train(self, allocation_id: str, env: dict[str, str]) -> None:
        call, trial = self.connections.call, f"/api/v1/trials/{env['DET_TRIAL_ID']}"
        allocation = f"/api/v1/allocations/{allocation_id}"
        await call("GET", env, f"{allocation}/resources/{env['DET_RESOURCES_ID']}/rendezvous")
        operation = await call("GET", env, f"{trial}/searcher/operation")
        length = int(operation["op"]["validateAfter"]["length"])
        run = int(allocation_id.rpartition(".")[2])
        metrics = {"trial_run_id": run, "steps_completed": length, "metrics": {"avg_metrics": {"loss": 0.5}}}
        await call("POST", env, f"{trial}/validation_metrics", metrics)
        done = {"op": {"length": length}, "searcherMetric": 0.5}
        await call("POST", env, f"{trial}/searcher/completed_operation", done)
        await call("POST", env, f"{allocation}/signals/ack_preemption")


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ConnectionError:
        # The master was killed.
        return b""


async def main(path: str) -> None:
    """Serve until the standard input is closed."""
    clients = Clients()
    async with await asyncio.start_unix_server(clients.serve, path, limit=_LONGEST_LINE):
        print("serving", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
