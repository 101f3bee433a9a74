"""Sessions of browsers on the wire."""

from __future__ import annotations

import msgspec

from determined.domain.records import User
from determined.wire.answers import Answer
from determined.wire.users import Name, Password


class NewSession(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A login of a browser: name and password as typed, or a token."""

    username: Name = ""
    password: Password = ""
    token: Password = ""


class SessionUser(Answer, frozen=True, kw_only=True):
    """Who is logged in."""

    id: int
    username: str
    display_name: str
    admin: bool


class SessionAnswer(Answer, frozen=True, kw_only=True):
    """A session."""

    user: SessionUser


class OpenLink(Answer, frozen=True, kw_only=True):
    """Path of a link that logs a browser in, once."""

    path: str


def session_answer(user: User) -> SessionAnswer:
    """A session of this user."""
    shown = SessionUser(id=user.id, username=user.username, display_name=user.display_name, admin=user.admin)
    return SessionAnswer(user=shown)
