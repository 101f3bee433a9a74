"""Passwords: the hash that clients send, and the slow hash of it that is stored.

Slow hashes are computed one at a time on a thread of their own, so that logins can neither stop the event loop nor
take the processor from the trials; only so many may wait.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import bcrypt

from determined.errors import Exhausted

R = TypeVar("R")

MAX_WAITING_LOGINS: Final = 32
"""How many slow hashes may be under way or wait for their turn; more are refused."""
_SALT: Final = "GubPEmmotfiK9TMD6Zdw"


def client_hash(password: str) -> str:
    """What a client sends in place of a password; "" for the empty one."""
    if not password:
        return ""
    return hashlib.sha512((_SALT + password).encode(errors="replace")).hexdigest()


_HASH_LENGTH = 31
"""Characters of a hash after its salt."""


class Passwords:
    """Slow hashes. ``rounds`` is the cost: each one more doubles it."""

    def __init__(self, rounds: int = 12) -> None:
        self._rounds = rounds
        self._waiting = 0
        self._pool = ThreadPoolExecutor(1, "passwords")
        # Compared with when there is no such user, so that the time of an answer does not tell who exists. The hash of
        # no password, made up: to make a real one would take each start of a master as long as a login.
        self._nobody = bcrypt.gensalt(rounds) + b"." * _HASH_LENGTH

    async def hash(self, received: str) -> str:
        """What to store for a client's hash; "" for the empty password.

        Raises:
            Exhausted: too many wait already.
        """
        if not received:
            return ""
        return (await self._run(bcrypt.hashpw, received, bcrypt.gensalt(self._rounds))).decode()

    async def matches(self, received: str, stored: str | None) -> bool:
        """Whether a client's hash is the stored one's; None stands for a user who does not exist.

        Raises:
            Exhausted: too many wait already.
        """
        known = stored.encode() if stored else self._nobody
        same = await self._run(bcrypt.checkpw, received, known)
        return same and bool(stored)

    def close(self) -> None:
        """Let the thread end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, function: Callable[[bytes, bytes], R], received: str, other: bytes) -> R:
        if self._waiting >= MAX_WAITING_LOGINS:
            raise Exhausted(f"{self._waiting} logins wait for their turn already; try again in a few seconds")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, function, _short(received), other)
        finally:
            self._waiting -= 1


def _short(received: str) -> bytes:
    # bcrypt reads 72 bytes at most and a client's hash is longer.
    return base64.b64encode(hashlib.sha256(received.encode(errors="replace")).digest())
