"""What answers have in common: the page of a list, and free-form JSON that is passed on as it was stored."""

from __future__ import annotations

from typing import Final

import msgspec


class Answer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A JSON object of an answer: fields in camelCase, defaults written out."""


class Pagination(Answer, frozen=True, kw_only=True):
    """Which part of a list an answer holds."""

    offset: int
    limit: int
    start_index: int
    end_index: int
    total: int


NO_RAW: Final = msgspec.Raw(b"{}")
NO_LIST: Final = msgspec.Raw(b"[]")


def raw(text: str) -> msgspec.Raw:
    """JSON text as it goes out, without being parsed."""
    return msgspec.Raw(text.encode())
