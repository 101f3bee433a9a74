"""Connections to a master: kept alive, through a proxy where one is configured, and checked for life."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import urllib3

    from determined.common.api.certs import Cert

CONNECT_TIMEOUT_S = 30.0
_POOL_SIZE = 16


def open_pool(url: str, cert: Cert | None) -> urllib3.PoolManager:
    """A pool of connections for a master; it opens them when they are needed.

    Args:
        url: of the master, canonical.
        cert: what to check its certificate against; None for the system's.
    """
    import urllib3

    options: dict[str, Any] = {"num_pools": 2, "maxsize": _POOL_SIZE, "socket_options": socket_options()}
    if url.startswith("https:") and cert is not None:
        options["ssl_context"] = cert.ssl_context()
        if cert.noverify:
            options.update(cert_reqs="CERT_NONE", assert_hostname=False)
        elif cert.pinned is not None:
            options.update(cert_reqs="CERT_NONE", assert_fingerprint=cert.pin)
        elif cert.name is not None:
            options.update(assert_hostname=cert.name)
        if cert.name is not None:
            options.update(server_hostname=cert.name)
    proxy = proxy_for(url)
    return urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)


def socket_options() -> list[tuple[int, int, int]]:
    """What every connection to a master is set to."""
    # Most reads have no time limit, so the kernel has to notice a master that vanished without a word.
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6)):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for a master, or None."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in ("localhost", "::1") or host.startswith("127."):
        return None
    if sys.platform == "linux" and not any(name.lower().endswith("_proxy") for name in os.environ):
        # What would look there takes longer to load than a call takes.
        return None
    from urllib.request import getproxies, proxy_bypass

    proxy = getproxies().get(parts.scheme)
    return None if proxy is None or proxy_bypass(f"{host}:{parts.port}") else proxy
