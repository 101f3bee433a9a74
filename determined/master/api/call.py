"""One request, as the handlers of routes see it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.types import Receive, Scope

from determined.domain.ids import ExperimentId, TrialId
from determined.domain.records import User
from determined.errors import InvalidInput
from determined.master.api.bodies import Bodies
from determined.master.api.identity import Identity
from determined.master.api.log_ring import LogRing
from determined.master.api.query import Query, integer
from determined.master.api.security import is_own_page
from determined.master.api.sending import Connected
from determined.master.service.auth import Auth, Credentials, Principal
from determined.master.service.ports import Service
from determined.storage.protocol import Store
from determined.wire.requests import parse

T = TypeVar("T")
OLDER_COOKIE = "auth"
"""Name of the cookie in which older pages keep a token."""
_ALLOCATION = re.compile(r"[0-9A-Za-z._-]{1,200}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Api:
    """What every handler may use."""

    service: Service
    store: Store
    auth: Auth
    identity: Identity
    ring: LogRing = field(default_factory=LogRing)
    bodies: Bodies = field(default_factory=Bodies)


class Call:
    """One request.

    Attributes:
        api: what is behind the API.
        principal: who asks; None only on routes that need no token.
    """

    __slots__ = ("_body", "_limit", "_query", "_receive", "_scope", "api", "principal")

    def __init__(self, api: Api, scope: Scope, receive: Receive, limit: int) -> None:
        self.api = api
        self.principal: Principal | None = None
        self._scope = scope
        self._receive = receive
        self._limit = limit
        self._query: Query | None = None
        self._body: bytes | None = None

    @property
    def service(self) -> Service:
        """What changes state."""
        return self.api.service

    @property
    def store(self) -> Store:
        """What is read."""
        return self.api.store

    @property
    def auth(self) -> Auth:
        """Users and tokens."""
        return self.api.auth

    @property
    def asking(self) -> Principal:
        """Who asks."""
        if self.principal is None:
            raise RuntimeError("this route is open to everybody and knows nobody")
        return self.principal

    @property
    def user(self) -> User:
        """The user who asks, or for whom a run does."""
        return self.asking.user

    @property
    def query(self) -> Query:
        """The parameters after the path."""
        if self._query is None:
            self._query = Query(self._scope.get("query_string", b""))
        return self._query

    def path(self, name: str) -> str:
        """A part of the path, as text."""
        text: str = self._scope["path_params"][name]
        return text

    def path_id(self, name: str) -> int:
        """A part of the path, as the number of something."""
        return integer(name.replace("_", " "), self.path(name), 1)

    @property
    def experiment_id(self) -> ExperimentId:
        """The experiment in the path."""
        return ExperimentId(self.path_id("experiment_id"))

    @property
    def trial_id(self) -> TrialId:
        """The trial in the path."""
        return TrialId(self.path_id("trial_id"))

    @property
    def allocation_id(self) -> str:
        """The allocation in the path."""
        text = self.path("allocation_id")
        if not _ALLOCATION.fullmatch(text):
            raise InvalidInput(f"{text[:80]!a} is no allocation id")
        return text

    async def body(self) -> bytes:
        """The body as it came."""
        if self._body is None:
            self._body = await self.api.bodies.read(self._scope, self._receive, self._limit)
        return self._body

    async def request(self, kind: type[T]) -> T:
        """The body as a declared request."""
        return parse(await self.body(), kind)

    def connected(self) -> Connected:
        """For waiting inside of: cancels the wait when the client goes away. The body must have been read."""
        return Connected(self._receive)

    def accepts(self, content_type: bytes) -> bool:
        """Whether the client asks for this type of content by name."""
        return any(name == b"accept" and content_type in value for name, value in self._scope["headers"])

    def from_browser(self) -> bool:
        """Whether a page in a browser asks."""
        return any(name == b"sec-fetch-site" for name, _ in self._scope["headers"])

    def is_encrypted(self) -> bool:
        """Whether it came over TLS that ends here; of a proxy's nothing is known."""
        return bool(self._scope.get("scheme") == "https")

    def credentials(self) -> Credentials:
        """The tokens that came along."""
        user_token = run_token = cookie = ""
        for name, value in self._scope["headers"]:
            if name == b"authorization":
                user_token = _bearer(value)
            elif name == b"grpc-metadata-x-allocation-token":
                run_token = _bearer(value)
            elif name == b"cookie":
                cookie = value.decode("latin-1")
        if user_token or not cookie:
            return Credentials(user_token, run_token)
        token = cookie_token(cookie, self.session_cookie)
        return Credentials(token, run_token, in_cookie=bool(token))

    @property
    def session_cookie(self) -> str:
        """Name of the cookie of a session. Cookies do not tell ports apart, but two masters may share a machine."""
        _, colon, port = self.header(b"host").rpartition(":")
        return f"det_session_{port}" if colon and port.isdecimal() else "det_session"

    def header(self, name: bytes) -> str:
        """A header of the request; "" when it is absent."""
        return next((value.decode("latin-1") for key, value in self._scope["headers"] if key == name), "")

    @property
    def is_from_own_page(self) -> bool:
        """Whether one of our own pages in a browser asks, by its own word."""
        return is_own_page(self._scope, self.api.identity.hosts)

    @property
    def method(self) -> str:
        """The verb of the request."""
        method: str = self._scope["method"]
        return method

    def close(self) -> None:
        """Give back what the request held."""
        if self._body:
            self.api.bodies.release(len(self._body))
            self._body = None


def _bearer(value: bytes) -> str:
    kind, _, token = value.decode("latin-1").strip().partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def cookie_token(header: str, session: str) -> str:
    """The token in the cookies of a request.

    Args:
        session: name of the cookie that holds it; older pages keep it in ``OLDER_COOKIE``.
    """
    found = {}
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        found[name] = value.strip('"')
    return found.get(session) or found.get(OLDER_COOKIE, "")


Handled = Any
"""What a handler returns: an ``Answer``, or a value that becomes the JSON body."""
