"""Tokens: random ones of logins, and signed ones that need no storage.

A signed token names what it is for and proves it with an HMAC under the master's secret:

- ``run.<allocation>.<mac>`` speaks for one run and reaches its trial only;
- ``user.<user id>.<allocation>.<mac>`` speaks for a user, out of one run;
- ``local.<user id>.<mac>`` speaks for the user of the machine that the master runs on.

Random tokens never hold a dot, so the two kinds cannot be mixed up.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final

from determined.domain.ids import UserId

MAX_REMEMBERED: Final = 4096
"""How many tokens are remembered with what they prove."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a signed token says: that its bearer is this user, this run, or this user inside of this run."""

    user_id: UserId | None = None
    allocation_id: str | None = None


class Signer:
    """Makes and reads signed tokens. The secret must not leave the master; another secret voids every token."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise ValueError("the secret for tokens must have at least 16 bytes")
        self._secret = secret
        self.read = functools.lru_cache(MAX_REMEMBERED)(self._read)
        """What a token proves; None when it proves nothing or is no signed token."""

    def run_token(self, allocation_id: str) -> str:
        """A token of one run."""
        return self._signed(f"run.{allocation_id}")

    def user_token(self, user_id: UserId, allocation_id: str) -> str:
        """A token of a user for use inside of one run."""
        return self._signed(f"user.{user_id}.{allocation_id}")

    def local_token(self, user_id: UserId) -> str:
        """A token of the local user; always the same one, so that clients live through a restart of the master."""
        return self._signed(f"local.{user_id}")

    def _read(self, token: str) -> Claim | None:
        body, _, mac = token.rpartition(".")
        if not body or not token.isascii() or not hmac.compare_digest(self._mac(body), mac):
            return None
        kind, _, rest = body.partition(".")
        if kind == "run":
            return Claim(allocation_id=rest)
        user_id, _, allocation_id = rest.partition(".")
        return Claim(UserId(int(user_id)), allocation_id or None)

    def _signed(self, body: str) -> str:
        return f"{body}.{self._mac(body)}"

    def _mac(self, body: str) -> str:
        return hmac.digest(self._secret, body.encode(), "sha256").hex()


def is_signed(token: str) -> bool:
    """Whether a token is of the signed kind, be it genuine or not."""
    return "." in token


def new_token() -> str:
    """A random token."""
    return secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    """What is stored of a random token."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
