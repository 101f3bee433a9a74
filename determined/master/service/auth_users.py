"""Users and logins with a cache in front, so that proving who asks costs no read of the database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Final, Generic, TypeVar

from determined.domain.ids import ExperimentId, UserId
from determined.domain.records import Token, User
from determined.errors import InvalidInput
from determined.storage.protocol import DropToken, PutToken, PutUser, Store

MAX_CACHED: Final = 10_000
MAX_NAME: Final = 128

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Remembers what was read, up to ``MAX_CACHED`` of it, until told to forget.

    A value that was being read while ``forget`` was called is not remembered: it may be from before the change.
    """

    def __init__(self) -> None:
        self._values: dict[K, V] = {}
        self._changes = 0

    async def get(self, key: K, read: Callable[[K], Awaitable[V]]) -> V:
        """The remembered value, or what ``read`` gives."""
        if key in self._values:
            return self._values[key]
        changes = self._changes
        value = await read(key)
        if changes == self._changes and value is not None:
            if len(self._values) >= MAX_CACHED:
                self._values.pop(next(iter(self._values)))
            self._values[key] = value
        return value

    def forget(self, key: K) -> None:
        """Read it again the next time."""
        self._changes += 1
        self._values.pop(key, None)


class UserBook:
    """Every change of users and logins goes through here; nothing else may write them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._users: Cache[UserId, User] = Cache()
        self._tokens: Cache[str, Token | None] = Cache()
        self._owners: Cache[ExperimentId, UserId] = Cache()
        self._watching: set[asyncio.Event] = set()

    async def user(self, user_id: UserId) -> User:
        """The user with that id."""
        return await self._users.get(user_id, self._store.get_user)

    async def find(self, username: str) -> User | None:
        """The user of that name, whatever its case."""
        return await self._store.find_user(username.lower())

    async def token(self, digest: str) -> Token | None:
        """The login with that digest."""
        return await self._tokens.get(digest, self._store.find_token)

    async def owner(self, experiment_id: ExperimentId) -> User:
        """Who owns an experiment; that never changes."""
        return await self.user(await self._owners.get(experiment_id, self._read_owner))

    async def _read_owner(self, experiment_id: ExperimentId) -> UserId:
        return (await self._store.get_experiment(experiment_id)).owner_id

    async def put(self, *users: User) -> None:
        """Store users."""
        await self._store.write([PutUser(user) for user in users])
        for user in users:
            self._users.forget(user.id)
        self._tell()

    async def put_token(self, token: Token) -> None:
        """Store a login."""
        await self._store.write([PutToken(token)])

    async def drop_token(self, digest: str) -> None:
        """Remove a login."""
        await self._store.write([DropToken(digest)])
        self._tokens.forget(digest)
        self._tell()

    @contextmanager
    def changes(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever a user has changed or a login has ended; whoever waits for it clears it."""
        event = asyncio.Event()
        self._watching.add(event)
        try:
            yield event
        finally:
            self._watching.discard(event)

    def _tell(self) -> None:
        for event in self._watching:
            event.set()


def checked_name(name: str) -> str:
    """A user name as it is stored.

    Raises:
        InvalidInput: it is blank, too long, or cannot stand in a path or a table.
    """
    clean = name.strip().lower()
    if not clean or len(clean) > MAX_NAME or not clean.isprintable() or "/" in clean:
        raise InvalidInput(
            f"{name[:40]!a} cannot be a user name; use 1 to {MAX_NAME} printable characters without a slash"
        )
    return clean
