"""Which port the local master gets: the one it had, so that trials that outlived it find it again."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from determined.common import util
from determined.errors import InvalidInput

USUAL_PORT = 8080


def choose(data_dir: Path, host: str, wanted: int | None) -> int:
    """The port that was asked for, else the last one, else 8080, else any that is free.

    Raises:
        InvalidInput: no such port, or no such host on this machine.
    """
    if wanted is not None:
        if not 1 <= wanted <= 65535:
            raise InvalidInput(f"port {wanted} is not allowed; use 1 to 65535")
        return wanted
    last = _last(data_dir)
    port = next((p for p in (last, USUAL_PORT) if p is not None and is_free(host, p)), None) or any_free(host)
    if last not in (None, port):
        print(
            f"Port {last} of the last local master is taken, so the next one uses {port};"
            " trials that still run will not find it",
            file=sys.stderr,
        )
    return port


def note(data_dir: Path, port: int) -> None:
    """Remember the port for the next start."""
    util.write_private(data_dir / "port", str(port))


def is_free(host: str, port: int) -> bool:
    """Whether this process could listen there now."""
    return _bound(host, port) is not None


def any_free(host: str) -> int:
    """A port that nobody listens on now.

    Raises:
        InvalidInput: nothing can listen on that host.
    """
    port = _bound(host, 0)
    if port is None:
        raise InvalidInput(f"nothing can listen on {host!r}; use 127.0.0.1, or an address of this machine")
    return port


def _last(data_dir: Path) -> int | None:
    try:
        port = int((data_dir / "port").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return port if 1 <= port <= 65535 else None


def _bound(host: str, port: int) -> int | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return None
        return int(probe.getsockname()[1])
