"""Who asks: users, logins and the tokens of runs.

On the first start there are two users, ``admin`` and ``determined``, with one random password; in open mode both have
the empty password. The empty password is accepted in open mode only, so a data folder that was made in open mode and
is then served without it gets a password at that start.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from determined.domain.ids import UserId
from determined.domain.records import Token, User
from determined.errors import NotFound, PermissionDenied, Unauthenticated
from determined.master.service.auth_admin import Users
from determined.master.service.auth_keys import OpenKeys
from determined.master.service.auth_passwords import Passwords, client_hash
from determined.master.service.auth_tokens import Signer, digest_of, is_signed, new_token
from determined.master.service.auth_users import UserBook
from determined.master.service.ports import RunKey
from determined.storage.protocol import Store

TOKEN_LIFETIME_S: Final = 7 * 24 * 3600.0
DEFAULT_USERS: Final = ("admin", "determined")
LOCAL_USER: Final = "determined"

_Login = tuple[User, str, "float | None"]
LiveRun = Callable[[str], "RunKey | None"]
"""The run of an allocation id if it lives now."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What came with a request: the token of a user, the token of a run, or both; "" for none.

    ``in_cookie``: a browser added the user's token by itself, so that it proves nothing about who made the request.
    """

    user_token: str = ""
    run_token: str = ""
    in_cookie: bool = False


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks.

    Attributes:
        user: the user who asks, or who owns the experiment of the run that asks.
        run: the run that asks, when it proved itself.
        is_user: the user's own token came with the request; without it only the run's own data can be reached.
        digest: of the login that was used, "" for signed tokens.
        expires_at: when that login ends by itself; None for never.
    """

    user: User
    run: RunKey | None = None
    is_user: bool = True
    digest: str = ""
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """What came of the start: the password if one was made now, and the login of the local user."""

    password: str | None
    local_user: User
    local_token: str


class Auth:
    """Proves who asks.

    Attributes:
        users: reads and changes users.
        keys: of login links.

    Args:
        secret: random bytes that stay the same over restarts; they sign the tokens of runs and of the local user.
        open_mode: whether the empty password is a password.
        rounds: cost of the password hash.
    """

    def __init__(
        self,
        store: Store,
        secret: bytes,
        open_mode: bool = False,
        clock: Callable[[], float] = time.time,
        rounds: int = 12,
    ) -> None:
        self._store = store
        self._book = UserBook(store)
        self._signer = Signer(secret)
        self._open_mode = open_mode
        self._clock = clock
        self._passwords = Passwords(rounds)
        self.users = Users(store, self._book, self._passwords, open_mode, clock)
        self.keys = OpenKeys()

    async def bootstrap(self) -> Bootstrap:
        """Make sure that the default users exist and can be used; to be called at each start."""
        async with self.users.changing:
            users = [await self._book.find(name) for name in DEFAULT_USERS]
            password = None
            if any(user is None or (user.password_hash == "" and not self._open_mode) for user in users):
                password = "" if self._open_mode else secrets.token_urlsafe(12)
                hashed = await self._passwords.hash(client_hash(password))
                await self._give_password(users, hashed)
        local = await self._book.find(LOCAL_USER)
        if local is None:
            raise NotFound(f"user {LOCAL_USER} not found")
        return Bootstrap(password or None, local, self._signer.local_token(local.id))

    async def _give_password(self, users: list[User | None], hashed: str) -> None:
        _, _, next_id = await self._store.next_ids()
        changed = []
        for name, user in zip(DEFAULT_USERS, users, strict=True):
            if user is None:
                fresh = User(id=UserId(next_id), username=name, password_hash=hashed, admin=name == "admin")
                changed.append(msgspec.structs.replace(fresh, modified_at=self._clock()))
                next_id += 1
            elif user.password_hash == "":
                changed.append(msgspec.structs.replace(user, password_hash=hashed, modified_at=self._clock()))
        await self._book.put(*changed)

    def close(self) -> None:
        """Release the thread that hashes passwords."""
        self._passwords.close()

    # Proving
    async def authenticate(self, credentials: Credentials, live_run: LiveRun) -> Principal:
        """Who asks. Costs no read of the store once the user has been seen.

        Args:
            live_run: ``Service.live_run``; the tokens of a run are worth nothing once it has ended.

        Raises:
            Unauthenticated: nothing valid came.
        """
        run = self._proven_run(credentials.run_token, live_run)
        if credentials.user_token:
            if run is None:
                run = self._proven_run(credentials.user_token, live_run)
            found = await self._proven_user(credentials.user_token, live_run)
            if found is not None:
                return Principal(found[0], run, is_user=True, digest=found[1], expires_at=found[2])
        if run is not None:
            return Principal(await self._book.owner(run.experiment_id), run, is_user=False)
        if credentials.user_token or credentials.run_token:
            raise Unauthenticated("the token is not valid (wrong, expired, or its run has ended); log in again")
        raise Unauthenticated("a token is needed; log in first")

    def _proven_run(self, token: str, live_run: LiveRun) -> RunKey | None:
        claim = self._signer.read(token) if is_signed(token) else None
        if claim is None or claim.user_id is not None or claim.allocation_id is None:
            return None
        return live_run(claim.allocation_id)

    async def _proven_user(self, token: str, live_run: LiveRun) -> _Login | None:
        """The active user that a token stands for, the digest of the login, and when it ends."""
        if is_signed(token):
            claim = self._signer.read(token)
            if claim is None or claim.user_id is None:
                return None
            if claim.allocation_id is not None and live_run(claim.allocation_id) is None:
                return None
            return await self._active(claim.user_id, "")
        digest = digest_of(token)
        login = await self._book.token(digest)
        if login is None:
            return None
        if login.expires_at is not None and login.expires_at <= self._clock():
            await self._book.drop_token(digest)
            return None
        return await self._active(login.user_id, digest, login.expires_at)

    async def _active(self, user_id: UserId, digest: str, expires_at: float | None = None) -> _Login | None:
        try:
            user = await self._book.user(user_id)
        except NotFound:
            return None
        return (user, digest, expires_at) if user.active else None

    async def user(self, user_id: UserId) -> User:
        """The user with that id.

        Raises:
            NotFound: there is none.
        """
        return await self._book.user(user_id)

    # Tokens
    def mint_run_token(self, allocation_id: str) -> str:
        """A token for a run's process, valid while that run lives."""
        return self._signer.run_token(allocation_id)

    def mint_user_token(self, user: User, allocation_id: str) -> str:
        """A token that acts for a user out of a run, valid while that run lives.

        A search runner inside of a trial uses it to make experiments. Each run of the trial gets one of its own, so
        somebody always holds a valid one for as long as the experiment goes on, and nobody afterwards.
        """
        return self._signer.user_token(user.id, allocation_id)

    async def login(self, username: str, password: str, is_hashed: bool) -> tuple[str, User]:
        """Log in, and return the new token.

        Raises:
            Unauthenticated: there is no such user, or the password is wrong.
            PermissionDenied: the user was deactivated.
            Exhausted: too many logins at once.
        """
        received = password if is_hashed else client_hash(password)
        user = await self._book.find(username)
        if not await self._accepts(user, received) or user is None:
            raise Unauthenticated("invalid credentials")
        if not user.active:
            raise PermissionDenied(f"user {user.username} is not active; an admin can activate it")
        return await self.start_session(user), user

    async def start_session(self, user: User) -> str:
        """A token of its own for somebody who has proven who they are; ``logout`` voids it."""
        token, now = new_token(), self._clock()
        expires = now + TOKEN_LIFETIME_S
        await self._book.put_token(Token(digest=digest_of(token), user_id=user.id, created_at=now, expires_at=expires))
        return token

    async def use_key(self, key: str) -> tuple[str, User]:
        """Log in with the key of a login link, and return the new token.

        Raises:
            Unauthenticated: the key is void, or its user is gone or not active.
        """
        found = await self._active(self.keys.take(key), "")
        if found is None:
            raise Unauthenticated("the user of this link may not log in any more")
        return await self.start_session(found[0]), found[0]

    async def _accepts(self, user: User | None, received: str) -> bool:
        if not received:
            return self._open_mode and user is not None and user.password_hash == ""
        return await self._passwords.matches(received, None if user is None else user.password_hash)

    async def logout(self, principal: Principal) -> None:
        """Void the login that was used. Signed tokens end with their run, or with the master's secret."""
        if principal.digest:
            await self._book.drop_token(principal.digest)

    async def until_over(self, credentials: Credentials, live_run: LiveRun) -> None:
        """Wait until credentials prove nobody any more: until their login has ended, or its user may not log in."""
        with self._book.changes() as changed:
            while True:
                try:
                    principal = await self.authenticate(credentials, live_run)
                except Unauthenticated:
                    return
                ends = principal.expires_at
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(changed.wait(), None if ends is None else max(0.0, ends - self._clock()))
                changed.clear()
