"""What admins, and users themselves, may change about users."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from determined.domain.ids import UserId
from determined.domain.records import User
from determined.errors import Conflict, FailedPrecondition, InvalidInput, NotFound, PermissionDenied
from determined.master.service.auth_passwords import Passwords, client_hash
from determined.master.service.auth_users import UserBook, checked_name
from determined.storage.protocol import Store


class Users:
    """Reads and changes users.

    Attributes:
        changing: held while users change. New ones take the next id, and the last admin must not go, so such changes
            come one after the other.
    """

    def __init__(
        self, store: Store, book: UserBook, passwords: Passwords, open_mode: bool, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._book = book
        self._passwords = passwords
        self._open_mode = open_mode
        self._clock = clock
        self.changing = asyncio.Lock()

    async def list(self) -> Sequence[User]:
        """Every user, by id."""
        return await self._store.list_users()

    async def get(self, user_id: UserId) -> User:
        """The user with that id.

        Raises:
            NotFound: there is none.
        """
        return await self._book.user(user_id)

    async def get_by_name(self, username: str) -> User:
        """The user of that name.

        Raises:
            NotFound: there is none.
        """
        user = await self._book.find(username)
        if user is None:
            raise NotFound(f"user {username[:64]!a} not found")
        return user

    async def find(self, user_id: UserId) -> User | None:
        """The user with that id, or None; for showing names."""
        try:
            return await self._book.user(user_id)
        except NotFound:
            return None

    async def create(self, actor: User, user: User, password: str, is_hashed: bool) -> User:
        """Add a user; its id and hash are filled in here. Without a password it can log in only in open mode.

        Raises:
            PermissionDenied: only admins may.
            Conflict: the name is taken.
            InvalidInput: the name cannot be used.
        """
        _need_admin(actor, "create users")
        name = checked_name(user.username)
        hashed = await self._passwords.hash(password if is_hashed else client_hash(password))
        async with self.changing:
            if await self._book.find(name) is not None:
                raise Conflict(f"user {name} exists already; choose another name")
            _, _, next_id = await self._store.next_ids()
            made = msgspec.structs.replace(
                user, id=UserId(next_id), username=name, password_hash=hashed, modified_at=self._clock()
            )
            await self._book.put(made)
        return made

    async def set_password(self, actor: User, user_id: UserId, password: str, is_hashed: bool) -> User:
        """Change a password: everybody their own, admins everybody's.

        Raises:
            PermissionDenied, NotFound, InvalidInput.
        """
        if actor.id != user_id:
            _need_admin(actor, "change the password of others")
        received = password if is_hashed else client_hash(password)
        if not received and not self._open_mode:
            raise InvalidInput("the empty password is accepted in open mode only; give one")
        hashed = await self._passwords.hash(received)
        return await self._change(user_id, {"password_hash": hashed})

    async def change(self, actor: User, user_id: UserId, changes: Mapping[str, Any]) -> User:
        """Change any of username, admin, active, display_name, remote.

        Raises:
            PermissionDenied: only admins may, save for the own display name.
            FailedPrecondition: it would leave no active admin.
            NotFound, Conflict, InvalidInput.
        """
        if actor.id != user_id or set(changes) - {"display_name"}:
            _need_admin(actor, "change users")
        changes = dict(changes)
        if "username" in changes:
            changes["username"] = checked_name(changes["username"])
        return await self._change(user_id, changes)

    async def _change(self, user_id: UserId, changes: Mapping[str, Any]) -> User:
        async with self.changing:
            before = await self._book.user(user_id)
            after = msgspec.structs.replace(before, **changes, modified_at=self._clock())
            if before.admin and before.active and not (after.admin and after.active):
                await self._check_other_admin(before)
            await self._book.put(after)
        return after

    async def _check_other_admin(self, leaving: User) -> None:
        if not any(u.admin and u.active and u.id != leaving.id for u in await self._store.list_users()):
            raise FailedPrecondition(f"{leaving.username} is the last active admin; make another user admin first")


def _need_admin(actor: User, what: str) -> None:
    if not actor.admin:
        raise PermissionDenied(f"only admins may {what}, and {actor.username} is none")
