"""The API behind a real server: chunks as they go over the wire, and clients that go away."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable

import uvicorn

from determined.master.api.serving import server_config
from tests.integration.api_rig import Rig, served

Test = Callable[[Rig, int], Awaitable[None]]


def behind_a_server(test: Test) -> Callable[[], None]:
    """Run a test with a master on a real port."""

    @served
    async def play(m: Rig) -> None:
        config = server_config(m.app, host="127.0.0.1", port=0)
        server = uvicorn.Server(config)
        # Without handlers of signals, which belong to the test runner.
        serving = asyncio.create_task(server._serve())
        await until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            await test(m, port)
        finally:
            server.should_exit = True
            await serving

    functools.update_wrapper(play, test)
    del play.__wrapped__  # type: ignore[attr-defined]  # or its arguments would be taken for fixtures
    return play


async def until(claim: Callable[[], bool]) -> None:
    """Let everybody else go on until something is true."""
    while not claim():  # noqa: ASYNC110  # nobody tells us when
        await asyncio.sleep(0)


async def send(
    m: Rig, port: int, method: str, path: str, body: bytes = b""
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{head}Authorization: {m.client.headers['Authorization']}\r\n\r\n".encode() + body)
    await writer.drain()
    return reader, writer


async def headers_of(reader: asyncio.StreamReader) -> tuple[int, str]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    return int(head.split()[1]), head.lower()


async def chunk_of(reader: asyncio.StreamReader) -> bytes:
    size = int(await reader.readline(), 16)
    chunk = await reader.readexactly(size + 2)
    return chunk[:-2]


@behind_a_server
async def test_each_chunk_of_a_stream_ends_with_its_line_and_comes_at_once(m: Rig, port: int) -> None:
    """Clients read line by line out of chunks; half a line would be held back until the stream ends."""
    t = await m.start_trial(await m.create())
    await m.launcher.log(t.allocation, "first")
    reader, writer = await send(m, port, "GET", f"/api/v1/trials/{t.trial}/logs?follow=true&sources=trial")
    status, head = await headers_of(reader)
    assert status == 200
    assert "transfer-encoding: chunked" in head
    first = await chunk_of(reader)
    assert first.endswith(b"}\n")
    assert json.loads(first)["result"]["log"] == "first"
    await m.launcher.log(t.allocation, "second")
    assert json.loads(await chunk_of(reader))["result"]["log"] == "second"
    await m.post(f"/v1/trials/{t.trial}/kill")
    assert await chunk_of(reader) == b""
    writer.close()


@behind_a_server
async def test_a_held_request_is_given_up_when_its_client_goes_away(m: Rig, port: int) -> None:
    number = await m.create()
    assert (await m.operate(number, 1)).status_code == 200
    lane = m.service.commits.lanes[number]  # type: ignore[index]
    before = len(asyncio.all_tasks())
    connections = [await send(m, port, "GET", f"/api/v1/experiments/{number}/searcher_events") for _ in range(20)]
    await until(lambda: lane.polls == 20)
    for _, writer in connections:
        writer.close()
    await until(lambda: not lane.polls)
    await until(lambda: len(asyncio.all_tasks()) <= before)


@behind_a_server
async def test_a_held_request_is_answered_over_the_wire_when_news_comes(m: Rig, port: int) -> None:
    number = await m.create()
    assert (await m.operate(number, 1)).status_code == 200
    lane = m.service.commits.lanes[number]  # type: ignore[index]
    reader, writer = await send(m, port, "GET", f"/api/v1/experiments/{number}/searcher_events")
    await until(lambda: lane.polls > 0)
    await m.post(f"/v1/experiments/{number}/pause")
    status, _ = await headers_of(reader)
    assert status == 200
    assert b"STATE_PAUSED" in await reader.readuntil(b"]}")
    # The connection goes on to serve.
    writer.write(f"GET /health HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
    assert (await headers_of(reader))[0] == 200
    writer.close()


@behind_a_server
async def test_a_follower_that_leaves_ends_the_stream_behind_it(m: Rig, port: int) -> None:
    t = await m.start_trial(await m.create())
    before = len(asyncio.all_tasks())
    for path in (f"/api/v1/trials/{t.trial}/logs?follow=true", "/api/v1/master/logs?follow=true"):
        reader, writer = await send(m, port, "GET", path)
        assert (await headers_of(reader))[0] == 200
        writer.close()
    await until(lambda: len(asyncio.all_tasks()) <= before)


@behind_a_server
async def test_an_upload_that_breaks_off_leaves_nothing(m: Rig, port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "POST /api/v1/experiments HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
    writer.write(f"{head}Authorization: {m.client.headers['Authorization']}\r\n\r\n".encode() + b'{"config":')
    await writer.drain()
    writer.close()
    assert await reader.read() == b""
    assert (await m.get("/v1/experiments"))["pagination"]["total"] == 0


@behind_a_server
async def test_a_body_that_says_too_much_is_refused_before_it_is_sent(m: Rig, port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /api/v1/experiments HTTP/1.1\r\nHost: localhost\r\nContent-Length: {10**12}\r\n"
    writer.write(f"{head}Authorization: {m.client.headers['Authorization']}\r\n\r\n".encode())
    assert (await headers_of(reader))[0] == 413
    writer.close()
