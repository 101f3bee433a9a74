"""Why a search did what it did: its decisions in order, each with its reason and the event that led to it."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from determined.common.api.errors import BadResponseException
from determined.common.api.session import Session
from determined.domain.facts import OperationsPosted
from determined.engine import effects as fx
from determined.errors import InvalidInput, NotFound
from determined.wire.decisions import Cause, Decision, DecisionReader
from determined.wire.searcher import event_to_json
from determined.workshop.recording import Recording


def decisions_of(recording: Recording, trial: int | uuid.UUID | None = None) -> Iterator[Decision]:
    """The decisions in a recording.

    Args:
        trial: id or request id of the only trial of interest; None for all.
    Raises:
        NotFound: there is no such trial.
    """
    reader = DecisionReader(None if trial is None else str(_request_id(recording, trial)))
    waiting: dict[int, dict[str, object]] = {}
    for row, fact, effects in recording.steps():
        for batch in reader.batches([row]):
            yield from reader.decisions(batch, [waiting[n] for n in range(batch.first, batch.last + 1) if n])
        if isinstance(fact, OperationsPosted) and fact.trigger is not None:
            while waiting and next(iter(waiting)) <= fact.trigger:
                del waiting[next(iter(waiting))]
        for effect in effects:
            if isinstance(effect, fx.EventEnqueued):
                waiting[effect.event_id] = event_to_json(effect.event_id, effect.event)


def _request_id(recording: Recording, trial: int | uuid.UUID) -> uuid.UUID:
    for known in recording.trials():
        if trial in (known.id, known.request_id):
            return known.request_id
    raise NotFound(f"{recording.name} has no trial {trial}")


def fetch_decisions(session: Session, experiment_id: int, trial: int | uuid.UUID | None = None) -> Iterator[Decision]:
    """The same from a master, of the search so far.

    Raises:
        NotFoundException: there is no such experiment, or no trial of this id in it.
    """
    params = {} if trial is None else {"trialId" if isinstance(trial, int) else "requestId": str(trial)}
    path = f"/api/v1/experiments/{experiment_id}/decisions"
    found = False
    with contextlib.closing(session.stream(path, params)) as stream:
        for line in stream:
            found = True
            try:
                yield msgspec.convert(line["result"], Decision)
            except (msgspec.ValidationError, KeyError, TypeError) as e:
                raise BadResponseException(f"{session.master_url}{path} sent a line that is no decision: {e}") from e
    if not found and isinstance(trial, uuid.UUID):
        raise NotFound(f"experiment {experiment_id} has no trial with request id {trial}")


def trial_named(text: str) -> int | uuid.UUID:
    """A trial's id or request id, as people write it.

    Raises:
        InvalidInput: it is neither.
    """
    with contextlib.suppress(ValueError):
        return int(text) if text.isascii() and text.isdecimal() else uuid.UUID(text)
    raise InvalidInput(f"{text!r} is no trial; give its id, a whole number, or its request id, a UUID")


def what(decision: Decision) -> str:
    """What was decided, in a few words."""
    if decision.kind == "createTrial":
        source = f" from checkpoint {decision.checkpoint}" if decision.checkpoint else ""
        if decision.source_trial_id is not None:
            source = f" from trial {decision.source_trial_id}"
        return f"create {json.dumps(decision.hparams)}{source}"
    if decision.kind == "validateAfter":
        return f"train to {decision.length}"
    if decision.kind == "closeTrial":
        return "close"
    how = " as failed" if decision.failure else " as cancelled" if decision.cancel else ""
    return f"end the search{how}"


def after(cause: Cause | None) -> str:
    """What led to a decision, in a few words; "" when nothing did or nobody knows."""
    if cause is None:
        return ""
    trial = f"trial {cause.trial_id}"
    return {
        "initialOperations": "the search began",
        "trialCreated": f"{trial} started",
        "trialProgress": f"{trial} reached {cause.units}",
        "validationCompleted": f"{trial} reached {cause.length} with {cause.metric}",
        "trialExitedEarly": f"{trial} exited early ({cause.cause})",
        "trialClosed": f"{trial} was over",
    }.get(cause.kind, cause.kind)


@dataclass(frozen=True, slots=True)
class Why:
    """What was decided about one trial.

    Attributes:
        last: the newest decision that has a reason; None when none has.
    """

    trial_id: int | None
    request_id: str
    decisions: Sequence[Decision]
    last: Decision | None

    @property
    def headline(self) -> str:
        """The last word about the trial, in one sentence."""
        if self.last is None:
            return f"Trial {self.trial_id}: its search method gave no reasons."
        done = {
            "createTrial": "was created",
            "validateAfter": f"was last asked to train to {self.last.length}",
            "closeTrial": "was closed",
            "shutDown": "was open when the search was ended",
        }[self.last.kind]
        return f"Trial {self.trial_id} {done}: {self.last.reason}"


def why(decisions: Iterable[Decision]) -> Why:
    """The decisions about one trial, put together.

    Args:
        decisions: about this trial, in order, at least one.
    """
    all_of_it = list(decisions)
    reasoned = [d for d in all_of_it if d.reason]
    first = all_of_it[0]
    return Why(first.trial_id, str(first.request_id), all_of_it, reasoned[-1] if reasoned else None)
