"""Login, logout, and who am I."""

from __future__ import annotations

from determined.master.api.call import Call, Handled
from determined.master.api.routes.ui_sessions import GONE
from determined.master.api.routing import Access, Routes
from determined.master.api.sending import json_answer
from determined.wire import users as wire

routes = Routes()


@routes.add("POST", "/v1/auth/login", access=Access.PUBLIC, request=wire.Login, answer=wire.LoginAnswer, limit=1 << 16)
async def login(call: Call) -> Handled:
    """Log in with name and password, and get a token."""
    asked = await call.request(wire.Login)
    token, user = await call.auth.login(asked.username, asked.password, asked.is_hashed)
    answer = wire.LoginAnswer(token=token, user=wire.user_json(user))
    # Pages must not be able to read the token, so a browser keeps it where scripts cannot.
    secure = "; Secure" if call.is_encrypted() else ""
    cookie = f"auth={token}; HttpOnly; SameSite=Strict; Path=/{secure}".encode()
    return json_answer(answer, ((b"set-cookie", cookie),) if call.from_browser() else ())


@routes.add("POST", "/v1/auth/logout")
async def logout(call: Call) -> Handled:
    """Void the token that this request carries."""
    await call.auth.logout(call.asking)
    return json_answer({}, (GONE,) if call.from_browser() else ())


@routes.add("GET", "/v1/me", answer=wire.UserAnswer)
@routes.add("GET", "/v1/auth/user", answer=wire.UserAnswer)
async def whoami(call: Call) -> Handled:
    """Get the user whose token this is."""
    return wire.UserAnswer(user=wire.user_json(call.user))
