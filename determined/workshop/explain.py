"""A replay's outcome in words and in numbers."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from determined.domain.events import (
    InitialOperations,
    SearcherEvent,
    TrialClosed,
    TrialCreated,
    TrialExitedEarly,
    TrialProgress,
)
from determined.domain.operations import Create, Operation
from determined.wire.searcher import event_to_json, operation_to_json
from determined.wire.times import to_text
from determined.wire.values import protect
from determined.workshop.compare import describe, reason_of
from determined.workshop.replay import Difference, Failure, ReplayResult

AROUND = 3
"""Operations shown before and behind one that differs."""
Name = Callable[[uuid.UUID], str]
"""What people call the trial of a request id."""


def event_text(event: SearcherEvent, name: Name) -> str:
    """An event in a few words."""
    if isinstance(event, InitialOperations):
        return "the search begins"
    trial = name(event.request_id)
    if isinstance(event, TrialCreated):
        return f"{trial} starts"
    if isinstance(event, TrialProgress):
        return f"{trial} reached {event.partial_units!r}"
    if isinstance(event, TrialExitedEarly):
        return f"{trial} exited early ({event.cause.value})"
    if isinstance(event, TrialClosed):
        return f"{trial} is over"
    return f"{trial} reached {event.length} with metric {event.metric!r}"


def summary(result: ReplayResult, name: Name, *, with_reasons: bool = False) -> Iterator[str]:
    """The outcome line by line; what is side by side comes from ``side_by_side``."""
    alike = f"{result.events} events and {result.operations} operations"
    if result.failure is not None:
        yield f"The method raised {result.failure.error}"
        yield f"  at event {result.failure.event_id} ({event_text(result.failure.event, name)});"
        yield f"  {alike} before it are as recorded."
    elif result.difference is not None:
        yield f"Different at event {result.difference.event_id} ({event_text(result.difference.event, name)});"
        yield f"  {alike} before it are as recorded."
    elif result.progress:
        yield f"The decisions are as recorded, all {result.events} events; but the progress of the search is not."
    else:
        yield f"Identical: {alike} are as recorded."
    yield from _aside(result, with_reasons)


def _aside(result: ReplayResult, with_reasons: bool) -> Iterator[str]:
    if result.first_progress is not None:
        first = result.first_progress
        [field] = first.fields
        yield (
            f"Progress: {result.progress} values differ, first at event {first.event_id}: recorded {field.recorded!r}, "
            f"replayed {field.replayed!r}."
        )
    if result.first_reason is not None:
        first = result.first_reason
        counted = "" if with_reasons else ", which does not count"
        yield f"Reasons: {result.reasons} differ{counted}; the first is that of"
        yield f"  {describe(first.recorded)} at event {first.event_id}:"
        yield f"  recorded: {reason_of(first.recorded)}"
        yield f"  replayed: {reason_of(first.replayed)}"
    if result.unprompted:
        yield f"{result.unprompted} operations were posted by hand, and are not compared."
    if result.unanswered:
        yield f"{result.unanswered} events at the end have no recorded answer; they were told, and not compared."


def side_by_side(result: ReplayResult) -> Iterator[tuple[str, str, str]]:
    """Rows of recorded and replayed operations around the first that differs, which is marked with ``>``."""
    if result.difference is None:
        return
    at = result.difference.number
    longest = max(len(result.recorded), len(result.replayed))
    for number in range(max(at - AROUND, 0), min(at + AROUND + 1, longest)):
        sides = [ops[number] if number < len(ops) else None for ops in (result.recorded, result.replayed)]
        yield ">" if number == at else "", _told(sides[0]), _told(sides[1])


def _told(op: Operation | None) -> str:
    reason = reason_of(op)
    return describe(op) + (f"\n{reason}" if reason else "")


def hint(result: ReplayResult) -> str | None:
    """What may be behind the difference."""
    place = result.difference
    if place is not None and isinstance(place.recorded, Create) and isinstance(place.replayed, Create):
        return (
            "The trial itself differs. A method that draws hyperparameters or request ids has to draw them from a "
            "seed, and to be made here with the arguments that it was made with there."
        )
    return None


def as_json(result: ReplayResult) -> dict[str, Any]:
    """The outcome for programs."""
    return {
        "identical": result.is_identical,
        "events": result.events,
        "operations": result.operations,
        "difference": _difference_json(result.difference),
        "failure": _failure_json(result.failure),
        "progressDifferences": result.progress,
        "firstProgress": _difference_json(result.first_progress),
        "reasonDifferences": result.reasons,
        "firstReason": _difference_json(result.first_reason),
        "unprompted": result.unprompted,
        "unanswered": result.unanswered,
    }


def _difference_json(place: Difference | None) -> Mapping[str, Any] | None:
    if place is None:
        return None
    return {
        "seq": place.seq,
        "time": to_text(place.at),
        "event": event_to_json(place.event_id, place.event),
        "number": place.number,
        "recorded": None if place.recorded is None else operation_to_json(place.recorded),
        "replayed": None if place.replayed is None else operation_to_json(place.replayed),
        "fields": [protect(dataclasses.asdict(f)) for f in place.fields],
    }


def _failure_json(failure: Failure | None) -> Mapping[str, Any] | None:
    if failure is None:
        return None
    event = event_to_json(failure.event_id, failure.event)
    return {"event": event, "error": failure.error, "trace": failure.trace}
