"""The WebSocket on which pages of the web UI hear of changes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from starlette.types import Receive, Scope, Send

from determined.errors import PermissionDenied
from determined.master.api.call import Api, Call
from determined.master.api.errors import fault_of
from determined.master.api.security import refuse_websocket
from determined.master.ui.clients import Client, message

PATH: Final = "/api/v1/stream"
PATIENCE_S: Final = 30.0
"""How long a message may take to leave; a client that takes nothing for so long is let go."""
GOING_AWAY: Final = 1001


async def serve_stream(api: Api, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one connection until either side closes it."""
    try:
        client = await _join(Call(api, scope, receive, 0))
    except Exception as error:
        await refuse_websocket(fault_of(error), receive, send)
        return
    try:
        await receive()
        await send({"type": "websocket.accept"})
        client.put(message("hello", master=api.identity.master_id))
        watch = asyncio.ensure_future(_until_gone(client, receive))
        try:
            # The client may be gone before we know, or take nothing.
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                await _send_all(client, send)
        finally:
            watch.cancel()
    finally:
        api.service.broadcast.leave(client)


async def _join(call: Call) -> Client:
    credentials = call.credentials()
    principal = await call.auth.authenticate(credentials, call.service.live_run)
    if not principal.is_user:
        raise PermissionDenied("runs of trials do not listen to changes; log in as a user")
    if credentials.in_cookie and not call.is_from_own_page:
        raise PermissionDenied("a session in a cookie listens only from the master's own pages")
    topics = [topic for text in call.query.texts("topics") for topic in text.split(",") if topic]
    return await call.service.broadcast.join(topics)


async def _send_all(client: Client, send: Send) -> None:
    while (text := await client.take()) is not None:
        await asyncio.wait_for(send({"type": "websocket.send", "text": text}), PATIENCE_S)
    await asyncio.wait_for(send({"type": "websocket.close", "code": GOING_AWAY}), PATIENCE_S)


async def _until_gone(client: Client, receive: Receive) -> None:
    # Whatever a page says is not listened to.
    while (await receive())["type"] != "websocket.disconnect":
        continue
    client.close()
