"""What a search method says of itself, for people who watch: sent along with its answers when it is news."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from determined.domain.search_method import SearchMethod

SHARE: Final = 0.02
"""Part of the time of a search that may go into asking its method; one that takes long is asked more rarely."""
AHEAD_S: Final = 0.05
MAX_BYTES: Final = 60 * 1024
logger = logging.getLogger("determined.searcher")


class Words:
    """Asks a method for its summary. A method that fails at it is not asked again, and its search goes on.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, method: SearchMethod, clock: Callable[[], float] = time.perf_counter) -> None:
        self._method: SearchMethod | None = method
        self._clock = clock
        self._began = clock()
        self._spent_s = 0.0
        self._last = b"null"

    def news(self) -> dict[str, Any] | None:
        """The summary if it has changed since it was last told; otherwise None."""
        started = self._clock()
        if self._method is None or self._spent_s > SHARE * (started - self._began) + AHEAD_S:
            return None
        told: dict[str, Any] | None = None
        try:
            # Whatever JSON cannot say becomes text, and numbers that are none become null.
            said = msgspec.json.encode(self._method.summary(), enc_hook=str)
            if said != self._last:
                told, self._last = self._checked(said), said
        except Exception as error:
            logger.warning(f"The web UI shows no summary of this search: summary() failed with {error!r}.")
            self._method = None
        self._spent_s += self._clock() - started
        return told

    def _checked(self, said: bytes) -> dict[str, Any] | None:
        if len(said) > MAX_BYTES:
            raise ValueError(f"{len(said)} bytes of JSON (allowed: {MAX_BYTES})")
        return msgspec.json.decode(said, type=dict[str, Any] | None)
