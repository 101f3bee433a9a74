"""The WebSocket on which pages of the web UI hear of changes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from starlette.types import Receive, Scope, Send

from determined.errors import DeterminedError, PermissionDenied
from determined.master.api.call import Api, Call
from determined.master.api.errors import fault_of
from determined.master.api.security import refuse_websocket
from determined.master.ui.clients import Client, message

PATH: Final = "/api/v1/stream"
BEAT_S: Final = 10.0
"""After so long without a message there is one that says nothing, so that a page notices a connection that is dead."""
PATIENCE_S: Final = 30.0
"""How long a message may take to leave; a client that takes nothing for so long is let go."""
LOGGED_OUT: Final = 1008
_BEAT: Final = message("beat")


async def serve_stream(api: Api, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one connection until either side closes it."""
    call = Call(api, scope, receive, 0)
    try:
        client = await _join(call)
    except Exception as error:
        await refuse_websocket(fault_of(error), receive, send)
        return
    try:
        await receive()
        await send({"type": "websocket.accept"})
        watches = [
            asyncio.ensure_future(_until_gone(client, receive)),
            asyncio.ensure_future(_until_over(call, client)),
        ]
        try:
            # The client may be gone before we know, or take nothing.
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                await _send_all(client, send)
        finally:
            for watch in watches:
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
    return await call.service.broadcast.join(topics, message("hello", master=call.api.identity.master_id))


async def _send_all(client: Client, send: Send) -> None:
    while (text := await _next(client)) is not None:
        await asyncio.wait_for(send({"type": "websocket.send", "text": text}), PATIENCE_S)
    await asyncio.wait_for(send({"type": "websocket.close", "code": client.code}), PATIENCE_S)


async def _next(client: Client) -> str | None:
    try:
        return await asyncio.wait_for(client.take(), BEAT_S)
    except asyncio.TimeoutError:
        return _BEAT


async def _until_over(call: Call, client: Client) -> None:
    """Nothing more is told to somebody who has logged out, or may not log in any more."""
    try:
        await call.auth.until_over(call.credentials(), call.service.live_run)
    except DeterminedError:
        # Whether somebody may still listen cannot be told now; the page comes back and is asked again.
        client.close()
    else:
        client.end(LOGGED_OUT)


async def _until_gone(client: Client, receive: Receive) -> None:
    # Whatever a page says is not listened to.
    while (await receive())["type"] != "websocket.disconnect":
        continue
    client.close()
