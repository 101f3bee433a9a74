"""Logins of browsers: a session in a cookie that scripts cannot read, and links that open one."""

from __future__ import annotations

import contextlib
from typing import Final

from determined.errors import InvalidInput, PermissionDenied, Unauthenticated
from determined.master.api.call import OLDER_COOKIE, Call, Handled, cookie_token
from determined.master.api.routing import Access, Routes
from determined.master.api.sending import Whole
from determined.master.service.auth import TOKEN_LIFETIME_S, Credentials
from determined.wire import ui_sessions as wire

routes = Routes()
GONE: Final = (b"set-cookie", f"{OLDER_COOKIE}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0".encode())
"""Takes the older cookie out of a browser."""


@routes.add("POST", "/ui/session", access=Access.PUBLIC, request=wire.NewSession, answer=None, limit=1 << 16)
async def open_session(call: Call) -> Handled:
    """Log a browser in, with name and password or with a token; the answer sets a cookie."""
    asked = await call.request(wire.NewSession)
    if bool(asked.token) == bool(asked.username):
        raise InvalidInput("give username and password, or a token, and not both")
    if asked.token:
        principal = await call.auth.authenticate(Credentials(asked.token), call.service.live_run)
        if not principal.is_user:
            raise PermissionDenied("the token of a run does not open a session; use that of a user")
        token = await call.auth.start_session(principal.user)
    else:
        token, _ = await call.auth.login(asked.username, asked.password, is_hashed=False)
    return Whole(b"", headers=(_cookie(call, token),), status=204)


@routes.add("GET", "/ui/session", answer=wire.SessionAnswer)
async def get_session(call: Call) -> Handled:
    """Get who is logged in."""
    return wire.session_answer(call.user)


@routes.add("DELETE", "/ui/session", answer=None)
async def close_session(call: Call) -> Handled:
    """Log this browser out, of the session that an older page has opened as well."""
    await call.auth.logout(call.asking)
    older = cookie_token(call.header(b"cookie"), OLDER_COOKIE)
    if older:
        with contextlib.suppress(Unauthenticated):
            await call.auth.logout(await call.auth.authenticate(Credentials(older), call.service.live_run))
    return Whole(b"", headers=(_cookie(call, "", 0), GONE), status=204)


@routes.add("POST", "/v1/ui/links", answer=wire.OpenLink)
async def make_link(call: Call) -> Handled:
    """Make a link that logs a browser in as the user who asks; it works once, for ten minutes."""
    if call.asking.run is not None:
        raise PermissionDenied("runs of trials make no links that log in; ask as a user")
    return wire.OpenLink(path=f"/open?key={call.auth.keys.make(call.user.id)}")


@routes.add("GET", "/open", access=Access.PUBLIC, answer=None, parameters=["key"])
async def use_link(call: Call) -> Handled:
    """Log a browser in by a link, and send it to the web UI."""
    if call.method != "GET":
        # Whoever only looks whether the link works must not use it up.
        return Whole(b"", status=204)
    token, _ = await call.auth.use_key(call.query.text("key"))
    return Whole(b"", headers=(_cookie(call, token), (b"location", b"/experiments")), status=303)


def _cookie(call: Call, token: str, age_s: float = TOKEN_LIFETIME_S) -> tuple[bytes, bytes]:
    is_safe = (
        call.is_encrypted()
        or call.header(b"origin").startswith("https://")
        or f"https://{call.header(b'host').lower()}" in call.api.identity.hosts.origins
    )
    secure = "; Secure" if is_safe else ""
    value = f"{call.session_cookie}={token}; HttpOnly; SameSite=Strict; Path=/; Max-Age={age_s:.0f}{secure}"
    return (b"set-cookie", value.encode())
