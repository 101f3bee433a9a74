"""The start line of a run: the master is told that this member is there, and tells who the others are.

Each run passes here before the user's code, so what it loads is little. Only TLS goes through the ordinary client.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from determined.common.api.direct import Answer, BrokenOff, Direct, NotConnected
from determined.errors import DeterminedError, FailedPrecondition, Unavailable

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
    master = Direct(master_url, {"Grpc-Metadata-x-allocation-token": f"Bearer {token}"})
    try:
        # The master answers when the last member is there, which may take as long as it takes.
        answer = master.request("GET", path, "application/json", None, None)
    except (NotConnected, BrokenOff) as error:
        raise Unavailable(f"the master at {master_url} does not answer ({error})") from error
    master.hand_on()
    return _content(master_url, answer)


def _content(master_url: str, answer: Answer) -> Any:
    if answer.status in _TRY_AGAIN:
        raise Unavailable(f"the master at {master_url} does not serve (HTTP {answer.status})")
    text = answer.data.decode("utf-8", "replace")
    if answer.status != 200:
        raise _refused(master_url, answer.status, text)
    try:
        return json.loads(text)
    except ValueError as error:
        raise Unavailable(f"the master at {master_url} answered what is no JSON ({error})") from error


def _refused(master_url: str, status: int, text: str) -> DeterminedError:
    why = text.strip()[:300] or "no reason given"
    return FailedPrecondition(
        f"the master at {master_url} refused this run at the rendezvous (HTTP {status}: {why});"
        " it may have been replaced by a later run of the trial"
    )
