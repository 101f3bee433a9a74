"""What a search method decided, and why: read from the journal, one operation at a time.

This works on the JSON of the journal and of the queue as it stands, because it is read by the million: a row that holds
nothing of interest is only looked at, not taken apart.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from determined.domain.records import JournalRow
from determined.errors import CorruptState
from determined.wire import journal
from determined.wire.answers import Answer
from determined.wire.times import to_text

Json = Mapping[str, Any]


class JournalLine(Answer, frozen=True, kw_only=True):
    """One fact of an experiment, as the journal holds it; ``at`` is in seconds since the epoch."""

    seq: int
    at: float
    kind: str
    format: int
    body: msgspec.Raw


class Cause(Answer, frozen=True, kw_only=True):
    """The event that was answered.

    ``kind`` is as on the queue; ``length`` and ``metric`` come with a validation, ``units`` with progress, ``cause``
    with an early exit.
    """

    event_id: int
    kind: str
    trial_id: int | None = None
    request_id: str | None = None
    metric: Any = None
    length: int | None = None
    units: Any = None
    cause: str | None = None


class Decision(Answer, frozen=True, kw_only=True):
    """One operation of a search method.

    ``kind`` is as on the queue: createTrial, validateAfter, closeTrial or shutDown. ``seq`` is the number of its row
    in the journal; the row answers the events from ``first_event`` to ``last_event``, both 0 when no event made the
    method act. ``source_trial_id`` is the trial from whose newest checkpoint a new one starts. ``cause`` is the event
    that this operation answers, null where that cannot be told.
    """

    seq: int
    time: str
    kind: str
    trial_id: int | None = None
    request_id: str | None = None
    hparams: Mapping[str, Any] | None = None
    checkpoint: str | None = None
    source_trial_id: int | None = None
    length: int | None = None
    cancel: bool | None = None
    failure: bool | None = None
    reason: str | None = None
    reason_numbers: Mapping[str, Any] = {}
    first_event: int = 0
    last_event: int = 0
    cause: Cause | None = None


def journal_line(row: JournalRow) -> JournalLine:
    """A row for a stream."""
    return JournalLine(seq=row.seq, at=row.at, kind=row.kind, format=row.format, body=msgspec.Raw(row.body))


@dataclass(frozen=True, slots=True)
class Batch:
    """A row of the journal that holds operations of interest.

    Attributes:
        first, last: the events that it answers, 0 for none.
        wanted: places of the operations of interest.
    """

    seq: int
    at: float
    first: int
    last: int
    operations: Sequence[Json]
    wanted: Sequence[int]


class _Trigger(msgspec.Struct, frozen=True):
    trigger: int | None


class _Posted(msgspec.Struct, frozen=True):
    operations: list[dict[str, Any]]
    trigger: int | None
    first_trial_id: int


class DecisionReader:
    """Finds decisions in the rows of one journal, which it must be shown in order from the first on.

    What is posted after the end of a search is not applied, and is no decision.

    Attributes:
        trials: ids by request id, of all trials so far; about 150 bytes each.
    """

    def __init__(self, request_id: str | None = None) -> None:
        """Args: request_id: of the only trial of interest; None for all."""
        self.trials: dict[str, int] = {}
        self._wanted = request_id
        self._is_open = False
        self._answered = 0
        self._is_over = False

    @property
    def answered(self) -> int:
        """The newest event that the rows so far answer; 0 for none."""
        return self._answered

    def batches(self, rows: Sequence[JournalRow]) -> list[Batch]:
        """Those among the next rows that hold operations of interest.

        Raises:
            CorruptState: a row is damaged, or of a newer format.
        """
        try:
            return [batch for row in rows if (batch := self._batch(row)) is not None]
        except (msgspec.MsgspecError, ValueError, KeyError) as e:
            raise CorruptState(f"the journal of experiment {rows[0].experiment_id} is damaged: {e}") from e

    def decisions(self, batch: Batch, events: Sequence[Json]) -> Iterator[Decision]:
        """The decisions in a batch.

        Args:
            events: those that it answers, as on the queue.
        """
        answered = causes(events, batch.operations)
        for number in batch.wanted:
            kind, body = operation_in(batch.operations[number])
            place = answered[number]
            yield self._decision(batch, kind, body, None if place is None else events[place])

    def _batch(self, row: JournalRow) -> Batch | None:
        if row.format != journal.FORMAT:
            raise CorruptState(
                f"journal row {row.seq} of experiment {row.experiment_id} has format {row.format}; this version reads "
                f"format {journal.FORMAT}: upgrade it"
            )
        if row.kind != "operations_posted":
            self._is_over = self._is_over or _ends_the_search(row)
            return None
        if self._is_over:
            return None
        if not self._is_interesting(row.body):
            self._next_events(msgspec.json.decode(row.body, type=_Trigger).trigger)
            return None
        posted = msgspec.json.decode(row.body, type=_Posted)
        first, last = self._next_events(posted.trigger)
        wanted = self._note(posted)
        return Batch(row.seq, row.at, first, last, posted.operations, wanted) if wanted else None

    def _is_interesting(self, body: bytes) -> bool:
        if self._wanted is None or b'"createTrial"' in body or b'"shutDown"' in body:
            return True
        return self._wanted.encode() in body

    def _next_events(self, trigger: int | None) -> tuple[int, int]:
        if trigger is None:
            return 0, 0
        first, self._answered = self._answered + 1, trigger
        return first, trigger

    def _note(self, posted: _Posted) -> list[int]:
        """Take note of new trials and of the end; places of the operations of interest."""
        next_id, found = posted.first_trial_id, []
        for number, op in enumerate(posted.operations):
            kind, body = operation_in(op)
            if kind == "createTrial":
                self.trials[body["requestId"]] = next_id
                next_id += 1
            if kind != "setSearcherProgress" and self._is_wanted(kind, body):
                found.append(number)
            if kind == "shutDown":
                self._is_over = True
                break
        return found

    def _is_wanted(self, kind: str, body: Json) -> bool:
        if self._wanted is None:
            return True
        if kind == "shutDown":
            # The end of the search is also that of a trial which nobody closed.
            return self._is_open
        if body["requestId"] != self._wanted:
            return False
        self._is_open = kind != "closeTrial"
        return True

    def _decision(self, batch: Batch, kind: str, body: Json, event: Json | None) -> Decision:
        return Decision(
            seq=batch.seq,
            time=to_text(batch.at),
            kind=kind,
            trial_id=self.trials.get(body.get("requestId", "")),
            request_id=body.get("requestId"),
            hparams=json.loads(body["hyperparams"]) if "hyperparams" in body else None,
            checkpoint=body.get("sourceCheckpointUuid"),
            source_trial_id=self.trials.get(body.get("sourceTrialRequestId", "")),
            length=None if "length" not in body else int(body["length"]),
            cancel=body.get("cancel"),
            failure=body.get("failure"),
            reason=body.get("reason"),
            reason_numbers=body.get("reasonNumbers", {}),
            first_event=batch.first,
            last_event=batch.last,
            cause=None if event is None else self._cause(event),
        )

    def _cause(self, event: Json) -> Cause:
        kind, body = event_in(event)
        return Cause(
            event_id=event["id"],
            kind=kind,
            trial_id=self.trials.get(body.get("requestId", "")),
            request_id=body.get("requestId"),
            metric=body.get("metric"),
            length=int(body["validateAfterLength"]) if "validateAfterLength" in body else None,
            units=body.get("partialUnits"),
            cause=body.get("cause"),
        )


def causes(events: Sequence[Json], operations: Sequence[Json]) -> list[int | None]:
    """For each operation of a batch the place of the event that it answers; None where that cannot be told.

    Our search runners and the master answer several events at once and keep no record of where one answer ends. But
    each answer ends with the progress of the search, except those to the first event and to starts of trials.
    """
    if len(events) <= 1:
        return [0 if events else None] * len(operations)
    ends = deque(place for place, event in enumerate(events) if event_in(event)[0] not in _WITHOUT_PROGRESS)
    if sum("setSearcherProgress" in op for op in operations) != len(ends):
        return [None] * len(operations)
    last = len(events) - 1
    found: list[int | None] = []
    for op in operations:
        if ends:
            found.append(ends[0])
        else:
            # Starts of trials come last; but the master puts the end of a search behind all progress.
            found.append(last if "shutDown" in op else len(events) - 1)
        if "setSearcherProgress" in op:
            last = ends.popleft()
    return found


_WITHOUT_PROGRESS = ("initialOperations", "trialCreated")


def operation_in(op: Json) -> tuple[str, Json]:
    """Kind and fields of an operation as the journal holds it."""
    [(kind, body)] = op.items()
    return operation_in(body) if kind == "trialOperation" else (kind, body)


def event_in(event: Json) -> tuple[str, Json]:
    """Kind and fields of an event as the queue holds it."""
    [(kind, body)] = [item for item in event.items() if item[0] != "id"]
    return kind, body


class _Verb(msgspec.Struct, frozen=True):
    verb: str


def _ends_the_search(row: JournalRow) -> bool:
    if row.kind == "experiment_commanded":
        return msgspec.json.decode(row.body, type=_Verb).verb in ("cancel", "kill")
    return row.kind == "method_failed"
