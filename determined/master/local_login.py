"""Hands the local user's token to the clients on this machine, through the file in which they keep their logins."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from determined.common.api.token_store import TokenStore


def write_local_login(urls: Iterable[str], user: str, token: str, path: Path | None = None) -> None:
    """Store a login under each address that the master answers to.

    The active user of an address is kept if there is a token for it; otherwise it becomes this one.

    Args:
        path: of the file; the usual one if None.

    Raises:
        CorruptTokenCacheException: the file is there and cannot be read.
        OSError: it cannot be written.
    """
    for url in urls:
        store = TokenStore(url, path)
        active = store.get_active_user()
        is_usable = active is not None and store.get_token(active) is not None
        store.set_token(user, token, activate=not is_usable)
