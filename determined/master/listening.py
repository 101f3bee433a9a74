"""Where a master listens, and what is to be said against it."""

from __future__ import annotations

import ipaddress
import socket

from determined.errors import InvalidInput, Unavailable

ANY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104  # compared, not bound to


def bind(host: str, port: int) -> socket.socket:
    """The listening socket, made first so that its port is known to everybody.

    Raises:
        Unavailable: the address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named in full: event loops send small answers at once only on sockets that say that they speak TCP.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(1024)
    except OSError as e:
        sock.close()
        raise Unavailable(f"cannot listen on {host}:{port} ({e.strerror}); choose another port with --port") from e
    sock.set_inheritable(False)
    return sock


def is_loopback(host: str) -> bool:
    """Whether only this machine can call an address; of names, only ``localhost`` is sure to be one."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def own_url(host: str, port: int, is_tls: bool) -> str:
    """The address under which this machine reaches a master that listens on ``host``."""
    shown = "127.0.0.1" if host in ANY_ADDRESS else host
    return f"{'https' if is_tls else 'http'}://{f'[{shown}]' if ':' in shown else shown}:{port}"


def check_exposure(host: str, *, is_tls: bool, is_open: bool, is_insecure_allowed: bool) -> None:
    """Refuse what would give the master away to a network.

    Raises:
        InvalidInput: open to everybody, or readable by everybody, beyond this machine.
    """
    if is_loopback(host):
        return
    if is_open:
        raise InvalidInput(f"--open lets anybody in, so it is for loopback only, not for {host}")
    if not is_tls and not is_insecure_allowed:
        raise InvalidInput(
            f"on {host!r} without TLS, passwords, tokens and code would cross the network for everybody to read and"
            " change. Give --tls self-signed, or --tls-cert and --tls-key; or listen on 127.0.0.1 behind a proxy that"
            " does TLS. Where nobody else can reach or read that network, --insecure-http allows it"
        )
