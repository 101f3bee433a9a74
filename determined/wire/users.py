"""Users and logins on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from determined.domain.records import User
from determined.wire.answers import Answer, Pagination
from determined.wire.times import to_text

Name = Annotated[str, Meta(max_length=128)]
Password = Annotated[str, Meta(max_length=4096)]


class Login(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A request for a token. ``isHashed`` says that ``password`` is what clients make of the typed one."""

    username: Name = ""
    password: Password = ""
    is_hashed: bool = False


class UserJson(Answer, frozen=True, kw_only=True):
    """A user."""

    id: int
    username: str
    admin: bool
    active: bool
    display_name: str = ""
    remote: bool = False
    modified_at: str
    agent_user_group: None = None


class UserAnswer(Answer, frozen=True, kw_only=True):
    """One user."""

    user: UserJson


class LoginAnswer(Answer, frozen=True, kw_only=True):
    """A token and whose it is."""

    token: str
    user: UserJson


class UsersAnswer(Answer, frozen=True, kw_only=True):
    """A page of users."""

    users: Sequence[UserJson]
    pagination: Pagination


class NewUser(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The request for a new user."""

    class Body(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
        """What the user is to be."""

        username: Name
        admin: bool = False
        active: bool = True
        display_name: Name = ""
        remote: bool = False

    user: Body
    password: Password = ""
    is_hashed: bool = False


class UserChanges(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Changes of a user; what is absent stays."""

    username: Name | UnsetType = UNSET
    password: Password | UnsetType = UNSET
    is_hashed: bool = False
    admin: bool | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    display_name: Name | UnsetType = UNSET
    remote: bool | UnsetType = UNSET

    def changes(self) -> dict[str, Any]:
        """The changes without the password, by the names of ``User``."""
        names = ("username", "admin", "active", "display_name", "remote")
        return {name: value for name in names if (value := getattr(self, name)) is not UNSET}


def user_json(user: User) -> UserJson:
    """A user for clients."""
    return UserJson(
        id=user.id,
        username=user.username,
        admin=user.admin,
        active=user.active,
        display_name=user.display_name,
        remote=user.remote,
        modified_at=to_text(user.modified_at),
    )


class NewPassword(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A password to be set."""

    password: Password
    is_hashed: bool = False
