from __future__ import annotations

import asyncio
import socket

import pytest

from determined.errors import Unavailable
from determined.master.listening import bind


def test_answers_are_not_held_back_by_the_kernel() -> None:
    """Head and body of an answer are written one after the other.

    With Nagle's algorithm the body waited for the client to acknowledge the head, which it does 40 ms later. Event
    loops switch that off only for sockets that say that they speak TCP, and the listening socket did not say so.
    """

    async def play() -> int:
        seen: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted: socket.socket = writer.get_extra_info("socket")
            seen.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listening = bind("127.0.0.1", 0)
        server = await asyncio.start_server(connected, sock=listening)
        async with server:
            _, writer = await asyncio.open_connection(*listening.getsockname())
            found = await seen
            writer.close()
            await writer.wait_closed()
        return found

    assert asyncio.run(play()) != 0


def test_a_taken_port_is_refused_with_advice() -> None:
    with bind("127.0.0.1", 0) as taken, pytest.raises(Unavailable, match="choose another port with --port"):
        bind("127.0.0.1", taken.getsockname()[1])
