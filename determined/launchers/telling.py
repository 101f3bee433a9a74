"""How news reaches the listener: again and again until it has taken it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

_MAX_BACKOFF_S = 5.0
_log = logging.getLogger(__name__)


async def tell(allocation_id: str, call: Callable[[], Awaitable[None]]) -> None:
    """Tell the listener until it has taken it: news that it could not store must not be lost."""
    backoff_s = 0.05
    while True:
        try:
            return await call()
        except Exception:
            _log.exception("news of run %s could not be taken; trying again", allocation_id)
        await asyncio.sleep(backoff_s)
        backoff_s = min(2 * backoff_s, _MAX_BACKOFF_S)
