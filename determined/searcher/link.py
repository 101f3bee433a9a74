"""The calls of a search runner to the master: which they are, and how long one waits for a master that is away."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from determined.domain.operations import Operation
from determined.errors import Conflict, NotFound, Unavailable
from determined.searcher.event import QueuedEvent
from determined.steps import step
from determined.wire.searcher import event_from_json, operation_to_json

if TYPE_CHECKING:
    from determined.common.api.session import Session

logger = logging.getLogger("determined.searcher")

GIVE_UP_S = 600.0
_LONGEST_PAUSE_S = 5.0
_EVENTS_TIMEOUT_S = 90.0
_POST_TIMEOUT_S = 60.0
R = TypeVar("R")


def cluster_id(session: Session) -> str:
    """Identity of the master, "" if it has none."""
    try:
        return str(session.get("/api/v1/master").get("clusterId") or "")
    except NotFound:
        return ""


def attach(session: Session, experiment_id: int) -> int | None:
    """Take over an experiment's search from any earlier runner.

    Returns:
        The epoch to post operations under, None from a master without epochs.
    """
    step("runner.attach.before")
    path, body = f"/api/v1/experiments/{experiment_id}/searcher_attach", {"runner": str(uuid.uuid4())}
    try:
        answer = patiently(session, lambda: session.post(path, json=body, timeout_s=_POST_TIMEOUT_S))
    except NotFound:
        return None
    step("runner.attach.after")
    return int(answer["epoch"])


def fetch_events(session: Session, experiment_id: int) -> list[QueuedEvent]:
    """The events that wait; empty if none came within the master's holding time."""
    path = f"/api/v1/experiments/{experiment_id}/searcher_events"
    answer = patiently(session, lambda: session.get(path, timeout_s=_EVENTS_TIMEOUT_S))
    step("runner.events.fetched")
    return [QueuedEvent(*event_from_json(e)) for e in answer.get("searcherEvents") or []]


def send_operations(
    session: Session,
    experiment_id: int,
    trigger: QueuedEvent,
    operations: Sequence[Operation],
    epoch: int | None,
    summary: Mapping[str, Any] | None = None,
) -> None:
    """Answer all events up to ``trigger``. Safe to repeat: the master knows a repetition when it sees one.

    Raises:
        Conflict: another runner has taken over, or has answered differently.
        InvalidInput: the operations are refused; nothing of them was applied.
    """
    body: dict[str, Any] = {
        "experimentId": experiment_id,
        "searcherOperations": [operation_to_json(op) for op in operations],
        "triggeredByEvent": trigger.to_json(),
    }
    if epoch is not None:
        body["epoch"] = epoch
    if summary is not None:
        body["summary"] = summary
    path = f"/api/v1/experiments/{experiment_id}/searcher_operations"
    step("runner.post.before")
    try:
        patiently(session, lambda: session.post(path, json=body, timeout_s=_POST_TIMEOUT_S))
    except Conflict as e:
        raise Conflict(
            f"experiment {experiment_id} does not take the answer to event {trigger.id} from this runner: {e}. "
            "Another runner goes on with this search, perhaps on a copy of the same folder; only one can."
        ) from e
    step("runner.post.after")


def patiently(session: Session, call: Callable[[], R]) -> R:
    """Make a call, and wait for a master that is away, as during a restart; tells the user once.

    Raises:
        Unavailable: the master stayed away for ``GIVE_UP_S``.
    """
    pause_s, gone_since = 0.1, None
    while True:
        try:
            answer = call()
        except Unavailable as e:
            if _is_hopeless(e):
                raise
            gone_since = _mind_the_gap(session, gone_since, e)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            continue
        if gone_since is not None:
            logger.warning(f"The master at {session.master_url} is back; the search goes on.")
        return answer


def _mind_the_gap(session: Session, gone_since: float | None, error: Unavailable) -> float:
    now = time.monotonic()
    if gone_since is None:
        logger.warning(
            f"The master at {session.master_url} does not answer ({error}). Trying again for up to "
            f"{GIVE_UP_S / 60:.0f} minutes; nothing is lost, and running trials go on."
        )
        return now
    if now - gone_since > GIVE_UP_S:
        raise error
    return gone_since


def _is_hopeless(error: Unavailable) -> bool:
    from determined.common.api.errors import UntrustedCertificateException

    return isinstance(error, UntrustedCertificateException)
