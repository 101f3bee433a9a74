"""Ray's own news of nodes, for the driver. In public, Ray lets one only look at them, again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

RETRY_S: Final = 1.0
"""After which the head is asked again to tell, if it could not be asked; twice as long after each time."""
MAX_BACKOFF_S: Final = 60.0
_MOST: Final = 1_000
_log = logging.getLogger(__name__)


async def follow_nodes(address: str, tell: Callable[[], None]) -> None:
    """Call back whenever nodes may have come or gone, for as long as the task lives.

    Versions of Ray that cannot tell are not asked: machines are then seen with the next change of something else.

    Args:
        address: of the head.
    """
    try:
        from ray._private.gcs_pubsub import GcsAioNodeInfoSubscriber
    except ImportError:
        return
    pause_s = RETRY_S
    while True:
        try:
            subscriber = GcsAioNodeInfoSubscriber(address=address)
            try:
                await subscriber.subscribe()
                pause_s = RETRY_S
                tell()
                # It answers when there is news; with none, when it cannot be reached.
                while await subscriber.poll(batch_size=_MOST):
                    tell()
            finally:
                await subscriber.close()
        except Exception as error:
            # Nothing depends on it but how soon a page shows a node, so whatever it is, the driver goes on.
            _log.warning("Ray's head at %s does not tell of nodes: %r; trying again in %.0f s", address, error, pause_s)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, MAX_BACKOFF_S)
