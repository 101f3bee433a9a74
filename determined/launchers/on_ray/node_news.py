"""Ray's own news of nodes, for the driver. In public, Ray lets one only look at them, again and again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

RETRY_S: Final = 1.0
"""After which the head is asked again to tell, if it could not be asked."""
_MOST: Final = 1_000


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
    while True:
        # Whatever is wrong with the head is found out by others, who need it more.
        with contextlib.suppress(Exception):
            subscriber = GcsAioNodeInfoSubscriber(address=address)
            try:
                await subscriber.subscribe()
                tell()
                # It answers when there is news; with none, when it cannot be reached.
                while await subscriber.poll(batch_size=_MOST):
                    tell()
            finally:
                await subscriber.close()
        await asyncio.sleep(RETRY_S)
