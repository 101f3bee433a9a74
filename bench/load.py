"""Clients for ``bench.reports``, in processes of their own: ``python -m bench.load report|poll PORT NUMBER SECONDS``.

The runs come as one line of JSON on the standard input. ``report`` sends metrics over NUMBER connections as fast as
they are answered, and prints how long each report took, in seconds, as a JSON list. ``poll`` opens NUMBER long polls
that nothing answers for a minute, opens each anew when it was answered, says ``open`` when all are, and ends when its
standard input is closed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """A live run and the token that lets it report."""

    trial: int
    run: int
    token: str
    allocation: str


def request(method: str, path: str, token: str, body: bytes = b"") -> bytes:
    """One HTTP request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Grpc-Metadata-x-allocation-token: Bearer {token}\r\n\r\n".encode() + body


async def read_answer(reader: asyncio.StreamReader) -> int:
    """The status of an answer whose body is then read."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
    return int(head.split()[1])


async def report(port: int, run: Run, until: float) -> list[float]:
    """Report over one connection until the time is up; how long each report took, in seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    path = f"/api/v1/trials/{run.trial}/validation_metrics"
    took: list[float] = []
    while (begin := time.perf_counter()) < until:
        body = {"trial_run_id": run.run, "steps_completed": 1 + len(took)}
        metrics = {"avg_metrics": {"loss": 1 / (1 + len(took))}}
        writer.write(request("POST", path, run.token, json.dumps({**body, "metrics": metrics}).encode()))
        status = await read_answer(reader)
        if status != 200:
            raise RuntimeError(f"a report was answered with {status}")
        took.append(time.perf_counter() - begin)
    writer.close()
    return took


async def poll(port: int, run: Run, turn: asyncio.Semaphore) -> asyncio.Task[None]:
    """Open a long poll, and a task that opens it anew whenever it has been answered."""
    async with turn:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        path = f"/api/v1/allocations/{run.allocation}/signals/preemption?timeout_seconds=60"
        question = request("GET", path, run.token)
        writer.write(question)
        await writer.drain()

    async def keep_open() -> None:
        while await read_answer(reader) == 200:
            writer.write(question)
            await writer.drain()
        raise RuntimeError("a long poll was refused")

    return asyncio.create_task(keep_open())


async def reports(port: int, runs: list[Run], number: int, seconds: float) -> None:
    """See the module."""
    until = time.perf_counter() + seconds
    took = await asyncio.gather(*(report(port, runs[i % len(runs)], until) for i in range(number)))
    print(json.dumps([t for times in took for t in times]))


async def polls(port: int, runs: list[Run], number: int) -> None:
    """See the module."""
    turn = asyncio.Semaphore(50)
    tasks = await asyncio.gather(*(poll(port, runs[i % len(runs)], turn) for i in range(number)))
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        if task.done():
            task.result()
        task.cancel()


def main(mode: str, port: str, number: str, seconds: str) -> None:
    """Read the runs, then load the master."""
    runs = [Run(**run) for run in json.loads(sys.stdin.readline())]
    if mode == "report":
        asyncio.run(reports(int(port), runs, int(number), float(seconds)))
    else:
        asyncio.run(polls(int(port), runs, int(number)))


if __name__ == "__main__":
    main(*sys.argv[1:])
