"""The head and the body of an answer are sent together, and nothing is kept back for long."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from determined.master.api.gathering import Gathering

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Sent:
    """Remembers what was written, piece by piece."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.pieces.append(data)

    def close(self) -> None:
        self.pieces.append(b"closed")

    def get_write_buffer_size(self) -> int:
        return 17


def played(*pieces: bytes | None) -> list[bytes]:
    """What is sent for what is written; None: the loop comes round."""

    async def play() -> list[bytes]:
        sent = Sent()
        transport = Gathering(cast("asyncio.Transport", sent), asyncio.get_running_loop())
        for piece in pieces:
            if piece is None:
                await asyncio.sleep(0)
            elif piece == b"close":
                transport.close()
            else:
                transport.write(piece)
        await asyncio.sleep(0)
        return sent.pieces

    return asyncio.run(play())


def test_head_and_body_are_one_piece() -> None:
    assert played(HEAD, b"{}") == [HEAD + b"{}"]
    assert played(HEAD, b"{}", HEAD, b"{}", None, HEAD, b"{}") == [HEAD + b"{}"] * 3


def test_a_head_whose_body_is_not_there_yet_does_not_wait_for_it() -> None:
    assert played(HEAD, None, b"{", b"}") == [HEAD, b"{", b"}"]
    assert played(HEAD) == [HEAD]


def test_a_body_is_written_at_once_and_a_large_one_is_not_copied() -> None:
    large = b"x" * (1 << 20)
    assert played(HEAD, large) == [HEAD, large]
    assert played(HEAD, b"{", b"}") == [HEAD + b"{", b"}"]


def test_nothing_is_lost_when_the_connection_is_closed() -> None:
    assert played(HEAD, b"close") == [HEAD, b"closed"]
    assert played(HEAD, b"{}", b"close") == [HEAD + b"{}", b"closed"]


def test_everything_else_is_the_transport_itself() -> None:
    async def ask() -> Any:
        return Gathering(cast("asyncio.Transport", Sent()), asyncio.get_running_loop()).get_write_buffer_size()

    assert asyncio.run(ask()) == 17
