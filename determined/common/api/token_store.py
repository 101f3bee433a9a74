"""The file of login tokens, ``auth.json``, shared with the reference client."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from determined.common import util
from determined.common.api.errors import CorruptTokenCacheException, UnauthenticatedException
from determined.common.util import canonical_master_url

_VERSION = 1
_Entry = dict[str, Any]


class TokenStore:
    """Tokens for one master, and which of its users is the active one.

    A master may stand in the file under several spellings of its address, since the reference client takes the
    address as it was typed. All of them are read; the canonical one is written, and those that are there already.

    Args:
        master_address: as it was given.
        path: of the file; the usual one if None.
    """

    def __init__(self, master_address: str, path: Path | None = None) -> None:
        self.path = path or util.config_path() / "auth.json"
        canonical = canonical_master_url(master_address)
        bare = canonical.partition("://")[2]
        self._names = list(dict.fromkeys((canonical, master_address, bare)))

    def get_active_user(self) -> str | None:
        """The user that ``det user login`` chose, or None."""
        return next((e["active_user"] for e in self._entries() if e.get("active_user")), None)

    def get_all_users(self) -> list[str]:
        """Users with a token, in the order of the file."""
        return list(dict.fromkeys(user for entry in self._entries() for user in entry.get("tokens", {})))

    def get_token(self, user: str) -> str | None:
        """The token of a user, or None; it may have expired."""
        return next((e["tokens"][user] for e in self._entries() if user in e.get("tokens", {})), None)

    def set_token(self, user: str, token: str, *, activate: bool = False) -> None:
        """Remember a token, and with ``activate`` make its user the active one."""

        def change(entry: _Entry) -> None:
            entry.setdefault("tokens", {})[user] = token
            if activate:
                entry["active_user"] = user

        self._change(change)

    def set_active(self, user: str) -> None:
        """Make a user with a token the active one.

        Raises:
            UnauthenticatedException: there is no token of that user.
        """
        if self.get_token(user) is None:
            raise UnauthenticatedException(401, f"no login of user {user!r} is known; use `det user login {user}`", 16)

        def change(entry: _Entry) -> None:
            entry["active_user"] = user

        self._change(change)

    def drop_user(self, user: str) -> None:
        """Forget a user's token."""

        def change(entry: _Entry) -> None:
            entry.get("tokens", {}).pop(user, None)
            if entry.get("active_user") == user:
                del entry["active_user"]

        self._change(change)

    def _entries(self) -> list[_Entry]:
        masters = self._read().get("masters", {})
        return [masters[name] for name in self._names if name in masters]

    def _change(self, change: Callable[[_Entry], None]) -> None:
        with util.locked(self.path):
            store = self._read()
            masters = store.setdefault("masters", {})
            masters.setdefault(self._names[0], {})
            for name in self._names:
                if name in masters:
                    change(masters[name])
            util.write_private(self.path, json.dumps(store, indent=4, sort_keys=True))

    def _read(self) -> dict[str, Any]:
        # The file is replaced whole, never changed in place, so that a reader needs no lock.
        try:
            text = self.path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return {"version": _VERSION}
        except (OSError, UnicodeDecodeError) as error:
            raise self._corrupt(str(error)) from error
        try:
            store = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._corrupt(f"it is not JSON: {error}") from error
        if isinstance(store, dict) and "version" not in store and store.keys() <= {"active_user", "tokens"}:
            store = {"version": _VERSION, "masters": {self._names[0]: store}}
        if problem := _problem(store):
            raise self._corrupt(problem)
        checked: dict[str, Any] = store
        return checked

    def _corrupt(self, why: str) -> CorruptTokenCacheException:
        return CorruptTokenCacheException(
            f"the login file {self.path} cannot be used ({why}); remove it, then log in again with `det user login`"
        )


def _problem(store: Any) -> str | None:
    """What keeps a parsed file from being one of ours, or None."""
    if not isinstance(store, dict):
        return "it holds no object"
    if store.get("version") != _VERSION:
        return f"its version is {store.get('version')!r}, and only {_VERSION} is known"
    masters = store.get("masters", {})
    if not isinstance(masters, dict) or not all(isinstance(entry, dict) for entry in masters.values()):
        return "its masters are not a map of objects"
    for entry in masters.values():
        tokens = entry.get("tokens", {})
        if not isinstance(tokens, dict) or not all(isinstance(token, str) for token in tokens.values()):
            return "its tokens are not a map from user to text"
        if not isinstance(entry.get("active_user", ""), str):
            return "an active user is not text"
    return None
