"""Streams of JSON lines: bytes in, objects out."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from determined.common.api import errors

MAX_LINE_BYTES = 64 << 20
"""A line longer than this ends the stream."""


def objects_of(blocks: Iterable[bytes], what: str) -> Generator[Any, None, None]:
    """The objects in a stream of JSON lines, each as soon as its line is complete.

    Args:
        blocks: the bytes as they arrive, cut anywhere.
        what: the request, for messages.
    Raises:
        APIException: a line carries an error.
        BadResponseException: a line is not JSON, or has no end.
    """
    for line in _lines(blocks, what):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise errors.not_json(what, line) from error
        if isinstance(value, dict) and value.get("error"):
            raise errors.from_answer(_status_of(value["error"]), line, what)
        yield value


def _lines(blocks: Iterable[bytes], what: str) -> Iterator[bytes]:
    rest = bytearray()
    for block in blocks:
        # Only the new bytes can hold the end of the line that is waiting.
        start = len(rest)
        rest += block
        end = rest.rfind(b"\n", start)
        if end >= 0:
            complete, rest = bytes(rest[:end]), rest[end + 1 :]
            yield from (line for line in complete.split(b"\n") if line.strip())
        if len(rest) > MAX_LINE_BYTES:
            raise errors.BadResponseException(f"{what} sent a line of more than {MAX_LINE_BYTES} bytes")
    if rest.strip():
        yield bytes(rest)


def _status_of(error: Any) -> int:
    """The HTTP status that the number of a reason stands for; the stream itself began with 200."""
    code = error.get("code") if isinstance(error, dict) else None
    known = {3: 400, 9: 400, 11: 400, 16: 401, 7: 403, 5: 404, 6: 409, 10: 409, 8: 429, 12: 501, 14: 503}
    return known.get(code, 500) if isinstance(code, int) else 500
