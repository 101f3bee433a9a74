"""Places in a document, and how user's text is shown in messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Path = tuple[str | int, ...]
"""Keys of mappings and indexes of lists, from the top."""
Marks = Mapping[int, Mapping[str | int, int]]
"""Line of each member of a container, by the ``id`` of the container."""

_SHOWN = 60
_SHOWN_BITS = 256


def path_text(path: Path) -> str:
    """The path as problems name it, e.g. ``bind_mounts.0.host_path``; harmless in a terminal or a log."""
    return ".".join(_harmless(str(part)) for part in path)


def shown(value: Any) -> str:
    """A value as messages show it: short, on one line, without control characters."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, (list, tuple)):
        return "a list" if value else "an empty list"
    if isinstance(value, str):
        return f"the text {value[:_SHOWN]!r}{'...' if len(value) > _SHOWN else ''}"
    if isinstance(value, int) and value.bit_length() > _SHOWN_BITS:
        # Printing it would take long, or fail.
        return f"a number of {value.bit_length()} bits"
    return _shortened(repr(value))


def text_flaw(text: str) -> str | None:
    """Why a text cannot be stored or sent anywhere, or None."""
    if "\0" in text:
        return "holds a NUL character; remove it"
    if any("\ud800" <= char <= "\udfff" for char in text):
        return "holds half of a surrogate pair, which is no character; remove it"
    return None


def _harmless(part: str) -> str:
    return _shortened(part if part.isprintable() else repr(part)[1:-1])


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
