"""Keys of login links: each logs in once, soon, and is kept in memory only."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Final

from determined.domain.ids import UserId
from determined.errors import Unauthenticated

KEY_LIFETIME_S: Final = 600.0
MAX_KEYS: Final = 1000
"""How many may be open at a time; the oldest is void when there is one more."""


class OpenKeys:
    """All keys that have not been used. They end with the master."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._keys: dict[str, tuple[UserId, float]] = {}

    def make(self, user_id: UserId) -> str:
        """A key that logs this user in."""
        while len(self._keys) >= MAX_KEYS:
            del self._keys[next(iter(self._keys))]
        key = secrets.token_urlsafe(24)
        self._keys[key] = (user_id, self._clock() + KEY_LIFETIME_S)
        return key

    def take(self, key: str) -> UserId:
        """Whom a key logs in; it is void from now on.

        Raises:
            Unauthenticated: it was used, is too old, or never was one.
        """
        found = self._keys.pop(key, None)
        if found is None or found[1] <= self._clock():
            raise Unauthenticated(
                "this link was used before or is older than ten minutes; `det ui` prints a new one, or log in by name"
            )
        return found[0]
