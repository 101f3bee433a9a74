"""Guards in front of every request: who may be meant by it, and where a browser sends it from.

The master listens on addresses that any page in a browser on the same machine can send requests to. A page cannot
forge the ``Host`` and ``Origin`` of its requests, so those tell which ones come from elsewhere.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from determined.errors import InvalidInput, PermissionDenied
from determined.master.api.errors import fault_of
from determined.master.api.sending import send_fault

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
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
    """

    names: frozenset[str] = LOOPBACK
    any_address: bool = False

    def allows(self, host: str) -> bool:
        """Whether a ``Host`` header names one of them."""
        name = host_name(host)
        return name in self.names or (self.any_address and _is_address(name))


def allowed_hosts(bound: str, extra: Iterable[str] = ()) -> Hosts:
    """The names for a server that listens on ``bound``; one that listens everywhere takes every numeric address."""
    names = {name.lower().strip("[]") for name in (bound, *extra)}
    return Hosts(LOOPBACK | names, any_address=bound in ("", "0.0.0.0", "::"))  # noqa: S104  # compared, not bound to


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


class Guard:
    """Refuses requests that are not meant for this server or that another site makes a browser send."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
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
        if scope["method"] not in _SAFE and _is_foreign(origin, site, host):
            return PermissionDenied("requests that change something are not taken from other sites")
        if b"\0" in scope.get("raw_path", b"") or "\0" in scope["path"]:
            return InvalidInput("the path holds a NUL character")
        return None


def _is_foreign(origin: str, site: str, host: str) -> bool:
    if site and site not in ("same-origin", "none"):
        return True
    return bool(origin) and origin.partition("://")[2].lower() != host.lower()


def _add_headers(message: MutableMapping[str, Any]) -> None:
    given = message["headers"] = list(message.get("headers", ()))
    present = {name for name, _ in given}
    given.extend(header for header in _HEADERS if header[0] not in present)
