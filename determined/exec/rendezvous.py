"""The start line of a run: the master is told that this member is there, and tells who the others are.

Each run passes here, so this speaks HTTP over a bare socket: importing an HTTP library would take longer than
everything else that happens before the user's code. Only TLS goes through the ordinary client.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from typing import Any

from determined.errors import DeterminedError, FailedPrecondition, Unavailable

_CONNECT_S = 30.0
_LONGEST_ANSWER = 1 << 20
_TRY_AGAIN = frozenset({429, 502, 503, 504, 507})


def rendezvous(master_url: str, allocation_id: str, resources_id: str, token: str) -> dict[str, Any]:
    """Pass the start line; waits for all members, and for the master while it cannot be reached.

    Returns:
        The content of ``rendezvous.json``.
    Raises:
        FailedPrecondition: the master does not want this run (any more), or answers nonsense.
        Unavailable: the master could not be reached for as long as ``DET_RETRY_CONFIG`` allows.
    """
    path = f"/api/v1/allocations/{allocation_id}/resources/{resources_id}/rendezvous"
    answer = _ask(master_url, path, token)
    try:
        info = answer["rendezvousInfo"]
        return {
            "container_addrs": [str(address) for address in info["addresses"]],
            "container_rank": int(info.get("rank", 0)),
            "container_slot_counts": [int(count) for count in info["slots"]],
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FailedPrecondition(
            f"the master at {master_url} answered the rendezvous with {str(answer)[:200]}, which cannot be understood"
            f" ({error!r}); is it a master?"
        ) from error


def write_info(path: str, content: dict[str, Any], replace: bool) -> None:
    """Write JSON to ``path`` in one step; what is there already stays, unless it is to be replaced."""
    if not replace and os.path.exists(path):  # noqa: PTH110
        return
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(content, file)
    os.replace(temporary, path)  # noqa: PTH105


def _ask(master_url: str, path: str, token: str) -> Any:
    if master_url.startswith("https:"):
        from determined.core._master import Master

        return Master(master_url, token).get(path)
    number = 0
    while True:
        try:
            return _get(master_url, path, token)
        except Unavailable as error:
            # Only now, since most runs need no second try.
            from determined.core._retry import retry_policy

            policy = retry_policy()
            if number >= policy.total:
                raise
            if number == 0:
                print(f"WARNING: {error}; trying until it does", file=sys.stderr, flush=True)
            time.sleep(policy.pause(number))
            number += 1


def _get(master_url: str, path: str, token: str) -> Any:
    host, port, prefix = _address(master_url)
    shown = f"[{host}]" if ":" in host else host
    request = (
        f"GET {prefix}{path} HTTP/1.0\r\nHost: {shown}:{port}\r\nConnection: close\r\n"
        f"Accept: application/json\r\nGrpc-Metadata-x-allocation-token: Bearer {token}\r\n\r\n"
    )
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_S) as connection:
            # The master answers when the last member is there, which may take as long as it takes.
            connection.settimeout(None)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.sendall(request.encode("ascii"))
            answer = _read_all(connection)
    except OSError as error:
        raise Unavailable(f"the master at {master_url} does not answer ({error})") from error
    return _content(master_url, answer)


def _address(master_url: str) -> tuple[str, int, str]:
    place = master_url.partition("://")[2] or master_url
    authority, slash, prefix = place.partition("/")
    host, colon, port = authority.rpartition(":")
    if not colon or not port.isdecimal():
        host, port = authority, "80"
    return host.strip("[]"), int(port), (slash + prefix).rstrip("/")


def _read_all(connection: socket.socket) -> bytes:
    answer = b""
    while block := connection.recv(1 << 16):
        answer += block
        if len(answer) > _LONGEST_ANSWER:
            break
    return answer


def _content(master_url: str, answer: bytes) -> Any:
    head, blank, body = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    if not blank or status in _TRY_AGAIN:
        raise Unavailable(f"the master at {master_url} does not serve (HTTP {status or 'without an answer'})")
    text = body.decode("utf-8", "replace")
    if status != 200:
        raise _refused(master_url, status, text)
    try:
        return json.loads(text)
    except ValueError as error:
        raise Unavailable(f"the master at {master_url} broke off its answer ({error})") from error


def _refused(master_url: str, status: int, text: str) -> DeterminedError:
    why = text.strip()[:300] or "no reason given"
    return FailedPrecondition(
        f"the master at {master_url} refused this run at the rendezvous (HTTP {status}: {why});"
        " it may have been replaced by a later run of the trial"
    )
