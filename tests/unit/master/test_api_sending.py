"""Answers as messages to a server, and the mapping of errors."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from determined.errors import (
    Conflict,
    Exhausted,
    FailedPrecondition,
    InvalidConfig,
    InvalidContext,
    InvalidOperations,
    NotFound,
    PermissionDenied,
    Problem,
    RunnerBusy,
    StaleRun,
    StorageFailed,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from determined.master.api.errors import fault_of
from determined.master.api.sending import LINES_PER_CHUNK, ClientGone, Stream


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidConfig([Problem("x", "y")]), 400, 3),
        (InvalidOperations("x"), 400, 3),
        (InvalidContext("x"), 400, 3),
        (FailedPrecondition("x"), 400, 9),
        (StaleRun("x"), 400, 9),
        (NotFound("x"), 404, 5),
        (Conflict("x"), 409, 10),
        (Unauthenticated("x"), 401, 16),
        (PermissionDenied("x"), 403, 7),
        (TooLarge("x"), 413, 3),
        (Exhausted("x"), 429, 8),
        (Unavailable("x"), 503, 14),
        (StorageFailed("x"), 503, 14),
        (StorageFailed(errno.ENOSPC, "x"), 507, 14),
        (RunnerBusy("x"), 500, 13),
        (KeyError("secret"), 500, 13),
    ],
)
def test_each_error_has_its_status_and_code(error: Exception, status: int, code: int) -> None:
    fault = fault_of(error)
    assert (fault.status, fault.code) == (status, code)
    body = json.loads(fault.body())
    assert body["message"] == body["error"]["error"]
    assert "secret" not in body["message"]


def test_a_full_disk_is_found_behind_the_error_that_wraps_it() -> None:
    error = StorageFailed("could not commit")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert fault_of(error).status == 507


def test_messages_that_quote_bad_input_can_be_encoded_and_are_bounded() -> None:
    body = json.loads(fault_of(NotFound("\ud800" + "x" * 100_000)).body())
    assert body["message"].startswith("\\ud800xxx")
    assert len(body["message"]) < 20_000


def sent_by(batches: AsyncIterator[Any], *, gone: bool = False) -> list[bytes]:
    messages: list[Any] = []

    async def receive() -> dict[str, Any]:
        if not gone:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        messages.append(message)

    asyncio.run(Stream(batches).send(receive, send))
    return [m["body"] for m in messages if m["type"] == "http.response.body"]


def test_an_error_after_the_start_is_the_last_line() -> None:
    async def source() -> AsyncIterator[list[int]]:
        yield [1]
        raise NotFound("the trial was deleted")

    first, last, end = sent_by(source())
    assert first == b'{"result":1}\n'
    assert json.loads(last)["error"]["message"] == "the trial was deleted"
    assert json.loads(last)["error"]["code"] == 5
    assert end == b""


def test_large_batches_are_cut_at_ends_of_lines() -> None:
    async def source() -> AsyncIterator[list[int]]:
        yield []
        yield list(range(LINES_PER_CHUNK + 1))

    *chunks, end = sent_by(source())
    assert [chunk.count(b"\n") for chunk in chunks] == [LINES_PER_CHUNK, 1]
    assert all(chunk.endswith(b"\n") for chunk in chunks)
    assert end == b""


def test_the_source_of_a_stream_is_closed_when_its_client_has_gone() -> None:
    closed = []

    async def source() -> AsyncIterator[list[int]]:
        try:
            await asyncio.Event().wait()
            yield []
        finally:
            closed.append(True)

    with pytest.raises(ClientGone):
        sent_by(source(), gone=True)
    assert closed == [True]
