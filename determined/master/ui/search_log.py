"""What a search method heard and said, as an index of its journal and queue: found once, then kept up with.

Reading all of that again for each request would cost 20 microseconds a fact. The index holds numbers only, about 100
bytes for each event of interest; words come out of the store when they are shown.
"""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from determined.domain.records import EventRow, JournalRow
from determined.master.ui.rungs import NO_BRACKET, Ladder, Step, Steps
from determined.wire.decisions import Batch, DecisionReader, causes, event_in, operation_in
from determined.wire.values import restore

KINDS: Final = ("operations_posted", "experiment_commanded", "method_failed")
"""Facts that are read."""
_QUIET: Final = ("trialProgress", "trialCreated")
"""Events that are not worth a line when the method had nothing to say."""
_ENDS: Final = ("trialExitedEarly", "trialClosed")
WANTED_STEPS: Final = 50
"""Last steps whose trials are shown on the ladder, however many results there are."""
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """An event, and what the method said to it.

    Attributes:
        event: its id; 0 for operations that no event caused before the first one.
        trial: that it is about, 0 for none.
        cause_seq: fact that caused it, 0 for none.
        batch_seq: fact with the answer, 0 if it asked for nothing.
        first, count: the answer's operations among those of the fact.
        number: its place in the log, from 0 on.
    """

    event: int
    trial: int
    cause_seq: int
    batch_seq: int
    first: int
    count: int
    number: int = 0


class SearchLog:
    """The index of one experiment.

    Attributes:
        seq: fact up to which the journal has been read; ``heard``: event up to which the queue has.
        steps: what happened on the ladder.
    """

    def __init__(self) -> None:
        self.seq = 0
        self.heard = 0
        self.steps = Steps()
        self._newest = (Ladder(), 0)
        self._reader = DecisionReader()
        self._columns = [array("q") for _ in range(6)]
        self._of_trial: defaultdict[int, array[int]] = defaultdict(lambda: array("q"))

    def __len__(self) -> int:
        """How many entries there are."""
        return len(self._columns[0])

    @property
    def answered(self) -> int:
        """The newest event that is answered by the facts that were read."""
        return self._reader.answered

    # Reading

    def read(self, rows: Sequence[JournalRow]) -> list[Batch]:
        """The next facts, of ``KINDS``; then the events up to ``answered`` are to be taken in with the result."""
        batches = self._reader.batches(rows)
        self.seq = rows[-1].seq
        return batches

    def take(self, batches: Sequence[Batch], rows: Sequence[EventRow]) -> None:
        """Take in the batches that ``read`` gave, and the events that they answer, from behind ``heard`` on."""
        place = 0
        for batch in batches:
            if not batch.last:
                self._take_unprompted(batch)
                continue
            while place < len(rows) and rows[place].id < batch.first:
                self._take_event(rows[place], msgspec.json.decode(rows[place].body), None, ())
                place += 1
            end = place + batch.last - batch.first + 1
            self._take_batch(batch, rows[place:end])
            place = end
        for row in rows[place:]:
            self._take_event(row, msgspec.json.decode(row.body), None, ())

    def _take_batch(self, batch: Batch, rows: Sequence[EventRow]) -> None:
        bodies = [msgspec.json.decode(row.body) for row in rows]
        answers: list[list[int]] = [[] for _ in rows]
        wanted = set(batch.wanted)
        for number, place in enumerate(causes(bodies, batch.operations)):
            if number in wanted:
                # What cannot be told apart is shown with the last event that it may answer.
                answers[len(rows) - 1 if place is None else place].append(number)
        for row, body, answer in zip(rows, bodies, answers, strict=True):
            self._take_event(row, body, batch, answer)

    def _take_event(self, row: EventRow, body: Json, batch: Batch | None, answer: Sequence[int]) -> None:
        self.heard = row.id
        kind, fields = event_in(body)
        trial = self._reader.trials.get(fields.get("requestId", ""), 0)
        if kind == "validationCompleted":
            length = int(fields["validateAfterLength"])
            self.steps.add(Step.RESULT, row.id, trial, length, _number(fields.get("metric")))
        elif kind in _ENDS:
            self.steps.add(Step.ENDED, row.id, trial)
        about = set() if batch is None else self._take_operations(row.id, batch, answer)
        if answer or kind not in _QUIET:
            span = (answer[0], answer[-1] - answer[0] + 1) if answer else (0, 0)
            self._add(Entry(row.id, trial, row.seq, batch.seq if batch and answer else 0, *span), about)

    def _take_unprompted(self, batch: Batch) -> None:
        about = self._take_operations(self.heard, batch, batch.wanted)
        span = (batch.wanted[0], batch.wanted[-1] - batch.wanted[0] + 1)
        self._add(Entry(self.heard, 0, 0, batch.seq, *span), about)

    def _take_operations(self, event: int, batch: Batch, numbers: Sequence[int]) -> set[int]:
        """Note the steps among them; the trials that they are about."""
        about: set[int] = set()
        for number in numbers:
            kind, body = operation_in(batch.operations[number])
            trial = self._reader.trials.get(body.get("requestId", ""), 0)
            about.add(trial)
            if kind == "validateAfter":
                bracket = body.get("reasonNumbers", {}).get("bracket")
                bracket = bracket if type(bracket) is int and 0 <= bracket < 2**31 else NO_BRACKET
                self.steps.add(Step.ASKED, event, trial, int(body["length"]), bracket=bracket)
            elif kind in ("closeTrial", "shutDown"):
                self.steps.add(Step.ENDED, event, trial)
        return about

    def _add(self, entry: Entry, about: set[int]) -> None:
        for trial in (about | {entry.trial}) - {0}:
            self._of_trial[trial].append(len(self))
        values = (entry.event, entry.trial, entry.cause_seq, entry.batch_seq, entry.first, entry.count)
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)

    # Asking

    def trial_of(self, request_id: str) -> int:
        """The id of a trial; 0 for none."""
        return self._reader.trials.get(request_id, 0)

    def newest(self, limit: int, before: int | None = None, after: int = -1, trial: int | None = None) -> list[Entry]:
        """Entries of events behind ``after`` and before ``before``, newest first.

        Of one trial, if it is named, those of its events, and those whose answers are about it.

        There are at most ``limit``, and the rest of those of the oldest event: whoever asks for what is before it must
        not lose them.

        Cost: O(log entries) and O(limit).
        """
        places: Sequence[int] = range(len(self)) if trial is None else self._of_trial.get(trial, ())
        end = len(places) if before is None else self._first(places, before)
        start = max(self._first(places, after + 1), end - limit)
        if 0 < start < end:
            start = self._first(places, self._columns[0][places[start]])
        return [self._entry(places[n]) for n in range(end - 1, start - 1, -1)]

    def since(self, number: int) -> list[Entry]:
        """Entries from the one of this number on, newest first."""
        return [self._entry(n) for n in range(len(self) - 1, number - 1, -1)]

    def _first(self, places: Sequence[int], event: int) -> int:
        events, low, high = self._columns[0], 0, len(places)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if events[places[middle]] < event else (low, middle)
        return low

    def _entry(self, number: int) -> Entry:
        event, trial, cause, batch, first, count = (column[number] for column in self._columns)
        return Entry(event, trial, cause, batch, first, count, number)

    def rungs(self, event: int | None, smaller_is_better: bool, limit: int | None = None) -> Json:
        """The ladder as it was when an event had been answered; None for the newest.

        Cost: that of the steps up to the event; for the newest, of those since it was last asked for.
        """
        at = self.heard if event is None else min(max(event, 0), self.heard)
        ladder = Ladder()
        if at == self.heard:
            ladder, start = self._newest
            self._newest = (ladder, len(self.steps))
        else:
            start = 0
        for step in self.steps.until(at, start):
            ladder.take(*step)
        wanted = () if limit is None else self.steps.newest_trials(at, WANTED_STEPS)
        return {"event": at, "brackets": ladder.shown(smaller_is_better, limit, wanted)}


def _number(value: Any) -> float:
    value = restore(value)
    return float(value) if type(value) in (int, float) else math.nan


def operations_of(row: JournalRow, entry: Entry) -> list[Json]:
    """The operations in an entry's answer, without progress, as the journal holds them."""
    operations = _posted(row.body).operations[entry.first : entry.first + entry.count]
    return [op for op in operations if "setSearcherProgress" not in op]


class _Posted(msgspec.Struct, frozen=True):
    operations: list[Json]


_posted = msgspec.json.Decoder(_Posted).decode
