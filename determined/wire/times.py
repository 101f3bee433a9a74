"""Moments as text on the wire: RFC 3339 in UTC, and seconds since the epoch inside."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from determined.errors import InvalidInput

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_TEXT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d{1,9}))?(Z|z|[+-]\d\d:?\d\d)?",
    re.ASCII,
)


def to_text(at: float) -> str:
    """The moment as ``2023-06-01T10:00:00.123456Z``; always with microseconds, so that texts sort by time."""
    moment = _EPOCH + timedelta(seconds=at)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond:06d}Z"


def to_text_or_none(at: float | None) -> str | None:
    """The same for a moment that may not have come yet."""
    return None if at is None else to_text(at)


def from_text(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 text; without an offset it is taken as UTC.

    Raises:
        InvalidInput: it is no such text.
    """
    found = _TEXT.fullmatch(text)
    if found is None:
        raise _refused(text)
    day, clock, fraction, zone = found.groups()
    offset = "+00:00" if zone in (None, "Z", "z") else zone if ":" in zone else f"{zone[:3]}:{zone[3:]}"
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{offset}")
    except ValueError:
        raise _refused(text) from None
    return (moment - _EPOCH) / timedelta(seconds=1) + float(f"0.{fraction or 0}")


def _refused(text: str) -> InvalidInput:
    return InvalidInput(f"{text[:40]!r} is no moment; write it like 2023-06-01T10:00:00.5Z")
