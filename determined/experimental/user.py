"""A user of the master."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from determined.common.api.authentication import salt_and_hash
from determined.common.api.paging import read_paginated
from determined.common.api.session import Session, segment

_PATH = "/api/v1/users"


class User:
    """A user; get one from ``client.whoami``, ``client.get_user_by_name`` and the like.

    Attributes:
        user_id, username: name the user.
        admin: may manage others.
        active: may log in.
        remote: logs in by other means than a password.
        display_name: shown instead of the user name, if any.
        agent_uid, agent_gid, agent_user, agent_group: whom trials run as, if set.
    """

    user_id: int
    username: str
    admin: bool
    active: bool
    remote: bool
    display_name: str | None
    agent_uid: int | None
    agent_gid: int | None
    agent_user: str | None
    agent_group: str | None

    def __init__(self, value: Mapping[str, Any], session: Session) -> None:
        self._session = session
        self._take(value)

    def rename(self, new_username: str) -> None:
        """Give the user another name to log in with."""
        self._patch(username=new_username)

    def activate(self) -> None:
        """Let the user log in again."""
        self._patch(active=True)

    def deactivate(self) -> None:
        """Keep the user from logging in."""
        self._patch(active=False)

    def change_display_name(self, display_name: str) -> None:
        """Change the name that is shown."""
        self._patch(displayName=display_name)

    def change_password(self, new_password: str) -> None:
        """Set another password."""
        self._patch(password=salt_and_hash(new_password), isHashed=True)

    def link_with_agent(
        self,
        agent_uid: int | None = None,
        agent_gid: int | None = None,
        agent_user: str | None = None,
        agent_group: str | None = None,
    ) -> None:
        """Set whom the user's trials run as."""
        self._patch(
            agentUserGroup={
                "agentUid": agent_uid,
                "agentGid": agent_gid,
                "agentUser": agent_user,
                "agentGroup": agent_group,
            }
        )

    def _patch(self, **changes: Any) -> None:
        self._take(self._session.patch(f"{_PATH}/{self.user_id}", json=changes)["user"])

    def _take(self, value: Mapping[str, Any]) -> None:
        agent = value.get("agentUserGroup") or {}
        self.user_id = int(value.get("id") or 0)
        self.username = value["username"]
        self.admin = bool(value["admin"])
        self.active = bool(value["active"])
        self.remote = bool(value.get("remote"))
        self.display_name = value.get("displayName")
        self.agent_uid = agent.get("agentUid")
        self.agent_gid = agent.get("agentGid")
        self.agent_user = agent.get("agentUser")
        self.agent_group = agent.get("agentGroup")

    def __repr__(self) -> str:
        return f"User(user_id={self.user_id}, username={self.username!r})"


def whoami(session: Session) -> User:
    """The user of a session."""
    return User(session.get("/api/v1/me")["user"], session)


def list_users(session: Session) -> list[User]:
    """All users."""
    return [User(value, session) for value in read_paginated(session, _PATH, "users")]


def get_user_by_id(session: Session, user_id: int) -> User:
    """The user with that number."""
    return User(session.get(f"{_PATH}/{segment(user_id)}")["user"], session)


def get_user_by_name(session: Session, user_name: str) -> User:
    """The user of that name."""
    return User(session.get(f"{_PATH}/{segment(user_name)}/by-username")["user"], session)


def create_user(session: Session, username: str, admin: bool, password: str | None, remote: bool = False) -> User:
    """A new, active user."""
    body = {
        "user": {"username": username, "admin": admin, "active": True, "remote": remote},
        "password": None if password is None else salt_and_hash(password),
        "isHashed": True,
    }
    return User(session.post(_PATH, json=body)["user"], session)
