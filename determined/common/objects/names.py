"""Names that may become part of a path."""

from __future__ import annotations

from typing import Any

from determined.errors import InvalidInput

METADATA_FILE = "metadata.json"
"""The last file of a checkpoint: where it is, the checkpoint is whole."""

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_LONGEST_NAME = 200


def is_storage_id(name: Any) -> bool:
    """Whether this is one plain path component: letters, digits, ``.``, ``_`` and ``-``, not starting with a dot."""
    return (
        isinstance(name, str)
        and 0 < len(name) <= _LONGEST_NAME
        and not name.startswith(".")
        and _NAME_CHARACTERS.issuperset(name)
    )


def checked_storage_id(storage_id: Any) -> str:
    """The name of a checkpoint, which must be one plain path component.

    Raises:
        InvalidInput: empty, too long, starting with a dot, or holding anything but letters, digits, ``.``,
            ``_`` and ``-``.
    """
    if not is_storage_id(storage_id):
        raise InvalidInput(
            f"{str(storage_id)[:80]!r} is no checkpoint name; give the uuid that upload or store_path gave"
        )
    return str(storage_id)


def checked_relative(name: str) -> str:
    """A path that stays inside the folder it is joined to.

    Raises:
        InvalidInput: absolute, with ``..`` or with a NUL character.
    """
    if not name or name.startswith("/") or ".." in name.split("/") or "\0" in name:
        raise InvalidInput(f"{name[:200]!r} leads out of the checkpoint; only paths inside it are allowed")
    return name
