"""Guards in front of every request: who may be meant by it, and where a browser sends it from.

The master listens on addresses that any page in a browser on the same machine can send requests to. A page cannot
forge the ``Host`` and ``Origin`` of its requests, so those tell which ones come from elsewhere.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from determined.errors import InvalidInput, PermissionDenied
from determined.master.api.errors import Fault, fault_of
from determined.master.api.sending import send_fault

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


@dataclass(frozen=True, slots=True)
class Hosts:
    """Names that requests may be addressed to.

    Attributes:
        names: lower case, without port.
        any_address: whether every numeric address will do; those cannot be made to point elsewhere.
        origins: further origins of our own pages, in lower case: that of a proxy in front, say.
    """

    names: frozenset[str] = LOOPBACK
    any_address: bool = False
    origins: frozenset[str] = frozenset()

    def allows(self, host: str) -> bool:
        """Whether a ``Host`` header names one of them."""
        name = host_name(host)
        return name in self.names or (self.any_address and _is_address(name))


def allowed_hosts(bound: str, extra: Iterable[str] = (), urls: Iterable[str] = ()) -> Hosts:
    """The names for a server that listens on ``bound``; one that listens everywhere takes every numeric address.

    Args:
        extra: further names.
        urls: under which it is known as well.
    """
    parts = [urlsplit(url.lower()) for url in urls]
    names = {name.lower().strip("[]") for name in (bound, *extra)} | {p.hostname for p in parts if p.hostname}
    origins = frozenset(f"{part.scheme}://{part.netloc}" for part in parts)
    everywhere = bound in ("", "0.0.0.0", "::")  # noqa: S104  # compared, not bound to
    return Hosts(LOOPBACK | names, everywhere, origins)


def host_name(host: str) -> str:
    """The name in a ``Host`` header or an origin's authority, without port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_own_page(scope: Scope, hosts: Hosts) -> bool:
    """Whether a browser says that one of our own pages made this request; without a word of its origin it is not."""
    host = origin = ""
    for name, value in scope["headers"]:
        if name == b"host":
            host = value.decode("latin-1").lower()
        elif name == b"origin":
            origin = value.decode("latin-1").lower()
    scheme = "https" if scope["scheme"] in ("https", "wss") else "http"
    return origin == f"{scheme}://{host}" or origin in hosts.origins


class Guard:
    """Refuses requests that are not meant for this server or that another site makes a browser send."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "websocket":
            refused = self._refusal(scope)
            if refused is None:
                await self.app(scope, receive, send)
            else:
                await refuse_websocket(fault_of(refused), receive, send)
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(message)
            await send(message)

        refused = self._refusal(scope)
        if refused is None:
            await self.app(scope, receive, send_safely)
        else:
            await send_fault(fault_of(refused), send_safely)

    def _refusal(self, scope: Scope) -> Exception | None:
        host = origin = site = ""
        for name, value in scope["headers"]:
            if name == b"host":
                host = value.decode("latin-1")
            elif name == b"origin":
                origin = value.decode("latin-1")
            elif name == b"sec-fetch-site":
                site = value.decode("latin-1")
        if not self.hosts.allows(host):
            return PermissionDenied(
                f"requests for the host {host[:100]!a} are not served; use one of "
                f"{', '.join(sorted(self.hosts.names))}, or start the master with --allowed-host for it"
            )
        # A page of another site could listen to a socket, so that it opens one counts as a change.
        is_safe = scope["type"] == "http" and scope["method"] in SAFE_METHODS
        if not is_safe and origin.lower() not in self.hosts.origins and _is_foreign(origin, site, host):
            return PermissionDenied("requests that change something are not taken from other sites")
        if b"\0" in scope.get("raw_path", b"") or "\0" in scope["path"]:
            return InvalidInput("the path holds a NUL character")
        return None


async def refuse_websocket(fault: Fault, receive: Receive, send: Send) -> None:
    """Answer the opening of a socket with an error."""
    await receive()
    body = fault.body()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    start = {"type": "websocket.http.response.start", "status": fault.status, "headers": headers}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": body})


def _is_foreign(origin: str, site: str, host: str) -> bool:
    if site and site not in ("same-origin", "none"):
        return True
    return bool(origin) and origin.partition("://")[2].lower() != host.lower()


def _add_headers(message: MutableMapping[str, Any]) -> None:
    given = message["headers"] = list(message.get("headers", ()))
    present = {name for name, _ in given}
    given.extend(header for header in _HEADERS if header[0] not in present)
