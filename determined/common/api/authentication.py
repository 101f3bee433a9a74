"""Who calls the master: which user, with which token, and how one is got."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from determined.common.api import certs, errors
from determined.common.api.session import Session
from determined.common.api.token_store import TokenStore
from determined.common.util import canonical_master_url, get_default_master_address

DEFAULT_USER = "determined"
PASSWORD_SALT = "GubPEmmotfiK9TMD6Zdw"  # noqa: S105 - fixed by the protocol; it keeps typed passwords off the wire

logger = logging.getLogger("determined.common.authentication")

Prompt = Callable[[str], str]
"""Asks a person for the password of the user that is named."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and a token that the master gave for them."""

    user: str
    token: str


@dataclass(frozen=True, slots=True)
class _Wish:
    """Who the caller wants to be."""

    user: str
    password: str | None
    from_task: str | None = None
    """Token that the environment of a task holds for this user."""


def salt_and_hash(password: str) -> str:
    """What is sent to the master in place of a typed password."""
    return hashlib.sha512((PASSWORD_SALT + password).encode()).hexdigest() if password else ""


def do_login(master: str, user: str, password: str, cert: certs.Cert | None = None) -> str:
    """Trade a typed password for a token.

    Raises:
        UnauthenticatedException: the master knows no such user with this password.
        ForbiddenException: the user is deactivated.
    """
    with Session(master, user=user, cert=cert) as session:
        body = {"username": user, "password": salt_and_hash(password), "isHashed": True}
        try:
            token = session.post("/api/v1/auth/login", json=body).get("token")
        except errors.UnauthenticatedException as error:
            raise errors.UnauthenticatedException(
                401,
                f"the master at {session.master_url} refused the login of user {user!r}: wrong user or password",
                16,
            ) from error
    if not isinstance(token, str) or not token:
        raise errors.EmptyResultException(f"the master at {session.master_url} answered a login without a token")
    return token


def authenticate(
    master: str,
    *,
    user: str | None = None,
    password: str | None = None,
    cert: certs.Cert | None = None,
    prompt: Prompt | None = None,
) -> Credentials:
    """Find or get credentials, in this order of users: the one given, ``DET_USER`` with ``DET_PASS``, that of the task
    this runs in, the active one of the token file, ``determined``.

    Args:
        master: its address.
        user, password: as given by the caller; a password is only used when no valid token is known.
        cert: for an https master.
        prompt: asks for a password when nothing else is left; None to fail instead.

    Raises:
        UnauthenticatedException: no way to be that user.
    """
    store = TokenStore(master)
    wish = _wish(store, user, password)
    if wish.from_task is not None:
        return Credentials(wish.user, wish.from_task)
    token = store.get_token(wish.user)
    if token is not None:
        if _is_valid(master, token, cert):
            return Credentials(wish.user, token)
        _remember(lambda: store.drop_user(wish.user))
    named, given = os.environ.get("DET_USER"), os.environ.get("DET_USER_TOKEN")
    if named and given:
        return Credentials(named, given)
    token = _log_in(master, wish, cert, prompt)
    _remember(lambda: store.set_token(wish.user, token))
    return Credentials(wish.user, token)


def open_session(
    master: str | None = None,
    *,
    user: str | None = None,
    password: str | None = None,
    cert: certs.Cert | None = None,
    prompt: Prompt | None = None,
) -> Session:
    """A session as a user; see ``authenticate``. Without ``master`` the one that the environment names."""
    url = canonical_master_url(master or get_default_master_address())
    cert = cert or certs.default_load(url)
    found = authenticate(master or url, user=user, password=password, cert=cert, prompt=prompt)
    return Session(url, token=found.token, user=found.user, cert=cert)


def login(master: str, user: str, password: str, cert: certs.Cert | None = None) -> None:
    """Log in, remember the token and make the user the active one."""
    token = do_login(master, user, password, cert)
    TokenStore(master).set_token(user, token, activate=True)


def logout(master: str, user: str | None = None, cert: certs.Cert | None = None) -> list[str]:
    """Forget the token of a user, or of the active one, and have the master revoke it.

    Returns:
        The users that were logged out: one, or none if there was nothing to do.
    """
    store = TokenStore(master)
    user = user or store.get_active_user()
    token = store.get_token(user) if user else None
    if user is None or token is None:
        return []
    store.drop_user(user)
    with Session(master, token=token, user=user, cert=cert) as session:
        try:
            session.post("/api/v1/auth/logout")
        except errors.BadRequestException as error:
            # Forgotten here in any case; a token that the master no longer takes needs no revoking.
            logger.debug("the master did not confirm the logout of %s: %s", user, error)
    return [user]


def logout_all(master: str, cert: certs.Cert | None = None) -> list[str]:
    """Log out every user whose token for this master is known; their names."""
    return [name for user in TokenStore(master).get_all_users() for name in logout(master, user, cert)]


def _wish(store: TokenStore, user: str | None, password: str | None) -> _Wish:
    env = os.environ.get
    if user:
        return _Wish(user, password)
    if env("DET_USER") and env("DET_PASS") is not None:
        return _Wish(env("DET_USER", ""), env("DET_PASS"))
    # A task shares its host's token file, whose logins end after days; its own token lives as long as its experiment.
    if env("DET_TASK_ID") and env("DET_USER") and env("DET_USER_TOKEN"):
        return _Wish(env("DET_USER", ""), password, env("DET_USER_TOKEN"))
    return _Wish(store.get_active_user() or DEFAULT_USER, password)


def _is_valid(master: str, token: str, cert: certs.Cert | None) -> bool:
    with Session(master, token=token, cert=cert) as session:
        try:
            session.get("/api/v1/me")
        except (errors.UnauthenticatedException, errors.ForbiddenException):
            return False
    return True


def _log_in(master: str, wish: _Wish, cert: certs.Cert | None, prompt: Prompt | None) -> str:
    for password in _passwords(wish, prompt):
        try:
            return do_login(master, wish.user, password, cert)
        except errors.UnauthenticatedException:
            if wish.password is not None:
                raise
    raise errors.UnauthenticatedException(
        401, f"no valid login of user {wish.user!r} is known; use `det user login {wish.user}`, or set DET_PASS", 16
    )


def _passwords(wish: _Wish, prompt: Prompt | None) -> Iterator[str]:
    if wish.password is not None:
        yield wish.password
        return
    if wish.user == DEFAULT_USER:
        yield ""
    if prompt is not None:
        yield prompt(wish.user)


def _remember(change: Callable[[], None]) -> None:
    """Change the token file if it can be changed; a read-only home must not keep anyone from working."""
    try:
        change()
    except OSError as error:
        logger.warning("the login could not be noted in the token file: %s", error)
