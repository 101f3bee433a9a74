"""Replay: a search method is told again what it was told in a recorded search, and must answer the same.

The first answer that is not the recorded one is shown operation by operation. From there on the method would have led
another search, so there is nothing more to compare.
"""

from __future__ import annotations

import traceback
from bdb import BdbQuit
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from determined.domain.config import CustomSearch
from determined.domain.events import SearcherEvent
from determined.domain.lengths import Length
from determined.domain.operations import Operation, Progress
from determined.domain.reasons import numbers_of
from determined.domain.search_method import SearcherState, SearchMethod, dispatch
from determined.errors import FailedPrecondition, InvalidInput
from determined.methods.ending import ending
from determined.methods.hosted import Hosted
from determined.methods.registry import make_method
from determined.wire.searcher import operation_from_json, operation_to_json
from determined.workshop.compare import FieldDifference, difference, reason_of, same_reason
from determined.workshop.load import Factory
from determined.workshop.recording import Answered, Recording

OnEvent = Callable[[int, SearcherEvent, SearchMethod], None]
"""Called before the method is told an event: its id, the event, and the method as its author knows it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where the method answered differently.

    Attributes:
        seq: of the fact that holds the recorded answer; ``at`` is its time.
        event_id, event: what the replayed method was answering there.
        number: place of the operation in the answer, from 0.
        recorded, replayed: the operations in that place; None behind the end of an answer.
        fields: what differs between them; none if only their reasons do.
    """

    seq: int
    at: float
    event_id: int
    event: SearcherEvent
    number: int
    recorded: Operation | None
    replayed: Operation | None
    fields: tuple[FieldDifference, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """The method raised when it was told an event; ``trace`` shows where in its code."""

    event_id: int
    event: SearcherEvent
    error: str
    trace: str


@dataclass
class ReplayResult:
    """What came of a replay.

    Attributes:
        events: how many in a row were answered as recorded.
        operations: how many operations were compared and found equal.
        difference: the first that is not equal, progress aside; with the whole answers beside it in ``recorded`` and
            ``replayed``.
        failure: the method raised.
        progress, reasons: how often only the progress of the search, or only the reason of an operation, was another;
            ``first_progress`` and ``first_reason`` show where first.
        unprompted: operations that were posted without an event, by hand; nobody can be asked for them.
        unanswered: events at the end that the recorded search had not answered; they are told, and not compared.
    """

    events: int = 0
    operations: int = 0
    difference: Difference | None = None
    recorded: Sequence[Operation] = ()
    replayed: Sequence[Operation] = ()
    failure: Failure | None = None
    progress: int = 0
    first_progress: Difference | None = None
    reasons: int = 0
    first_reason: Difference | None = None
    unprompted: int = 0
    unanswered: int = 0

    @property
    def is_identical(self) -> bool:
        """Every operation was as recorded, progress included; reasons do not count."""
        return self.difference is None and self.failure is None and self.progress == 0

    @property
    def ended_at(self) -> int | None:
        """The event that ended the replay, because the method raised or decided otherwise; None: nothing did."""
        place = self.failure or self.difference
        return None if place is None else place.event_id

    @property
    def first_event(self) -> int | None:
        """The event at which the replay went another way, or None."""
        place = self.failure or self.difference or self.first_progress or self.first_reason
        return None if place is None else place.event_id


def replay(
    recording: Recording,
    method_factory: Factory,
    *,
    until: int | None = None,
    on_event: OnEvent | None = None,
) -> ReplayResult:
    """Tell a new method the recorded events, one by one, and compare its answers with those that were recorded.

    Args:
        method_factory: makes the method as it was at the beginning of the search.
        until: the last event to tell, from 1 to the number of events; None for all.
        on_event: called before each event.
    Raises:
        CorruptState: the recording does not make sense.
        InvalidInput: the factory made no method, or the recorded search has no event ``until``.
    Cost: that of the engine, about 20 microseconds a fact, and that of the method.
    """
    if until is not None:
        check_event(recording, until)
    result = ReplayResult()
    teller = _Teller(_driver(recording, method_factory()), on_event, result)
    for batch in recording.answers():
        events = [(number, event) for number, event in batch.events if until is None or number <= until]
        if not batch.events:
            result.unprompted += len(batch.operations)
        elif events and not _agrees(batch, events, teller, result):
            return result
    for number, event in recording.unanswered():
        if until is None or number <= until:
            result.unanswered += 1
            if teller.tell(number, event) is None:
                break
    return result


def check_event(recording: Recording, number: int) -> None:
    """Refuse the number of an event that the recorded search does not have.

    Raises:
        InvalidInput: there is no such event; the message says how many there are.
    Cost: that of reading the recording through twice.
    """
    last = sum(len(batch.events) for batch in recording.answers()) + len(recording.unanswered())
    if not 1 <= number <= last:
        raise InvalidInput(f"{recording.name} has no event {number} to be told; its events are 1 to {last}")


def recorded_method(recording: Recording) -> Factory:
    """What makes the method that a master hosted in the recorded search.

    Raises:
        FailedPrecondition: it was a search runner's.
    """
    if recording.is_custom:
        raise FailedPrecondition(
            f"{recording.name} was led by a search method of its author's; name it with --method module:Class"
        )
    return lambda: make_method(recording.config)


def known_arguments(recording: Recording) -> dict[str, Any]:
    """What a method's constructor may want to know and the recorded configuration says, by the names of both."""
    config = recording.config
    known: dict[str, Any] = {"config": config, "space": config.hyperparameters}
    if not isinstance(config.searcher.method, CustomSearch):
        known |= {"seed": config.seed, "smaller_is_better": config.searcher.smaller_is_better}
        for name in config.searcher.method.__dataclass_fields__:
            value = getattr(config.searcher.method, name)
            known[name] = value.units if isinstance(value, Length) else value
    return known


class _Driver(Protocol):
    @property
    def method(self) -> SearchMethod: ...
    def handle(self, event_id: int, event: SearcherEvent) -> list[Operation]: ...


class _Run:
    """A method as a search runner drives it."""

    def __init__(self, method: SearchMethod, experiment_id: int) -> None:
        self.method = method
        self._ending = ending(method)
        self._state = SearcherState()
        self._state.experiment_id = experiment_id
        self._state.last_event_id = 0

    def handle(self, event_id: int, event: SearcherEvent) -> list[Operation]:
        operations = dispatch(self._ending, self._state, event)
        self._state.last_event_id = event_id
        return operations


def _driver(recording: Recording, method: SearchMethod) -> _Driver:
    # The master ends a search by a rule of its own, and says so in another place of the answer than a runner.
    if not recording.is_custom and method.auto_shutdown:
        return Hosted(method)
    return _Run(method, recording.header.experiment_id)


@dataclass
class _Teller:
    driver: _Driver
    on_event: OnEvent | None
    result: ReplayResult = field(repr=False)

    def tell(
        self, number: int, event: SearcherEvent, expected: Sequence[Operation] = (), start: int = 0
    ) -> list[Operation] | None:
        """The answer as it would go to the master; None when the method raised.

        Args:
            expected: from ``start`` on, what the answer should be.
        """
        try:
            if self.on_event is not None:
                self.on_event(number, event, self.driver.method)
            answer = self.driver.handle(number, event)
            return [_posted(op, index, expected, start + index) for index, op in enumerate(answer)]
        except BdbQuit:
            # Somebody looked at the method in a debugger, and has seen enough.
            raise
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            self.result.failure = Failure(number, event, text, traceback.format_exc())
            return None


def _posted(op: Operation, index: int, expected: Sequence[Operation], place: int) -> Operation:
    """The operation as it arrives in the journal; one that is there needs not go the whole way."""
    if place < len(expected) and _is_same(op, expected[place]):
        return op
    return operation_from_json(operation_to_json(op), index)


def _is_same(one: Operation | None, other: Operation | None) -> bool:
    return one == other and numbers_of(reason_of(one)) == numbers_of(reason_of(other))


def _agrees(
    batch: Answered, events: Sequence[tuple[int, SearcherEvent]], teller: _Teller, result: ReplayResult
) -> bool:
    """Tell the events of a batch and compare; whether to go on."""
    replayed: list[Operation] = []
    ends: list[int] = []
    for number, event in events:
        answer = teller.tell(number, event, batch.operations, len(replayed))
        if answer is None:
            break
        replayed += answer
        ends.append(len(replayed))
    # With fewer events told than the recorded answer is to, only its beginning can be compared.
    is_whole = len(ends) == len(batch.events)
    recorded = batch.operations if is_whole else batch.operations[: len(replayed)]
    for place in _differences(batch, events, ends, recorded, replayed):
        if isinstance(place.recorded, Progress) and isinstance(place.replayed, Progress):
            result.progress += 1
            result.first_progress = result.first_progress or place
        elif place.fields:
            result.difference, result.recorded, result.replayed = place, recorded, replayed
            result.operations += place.number
            # Where the replayed answer is the shorter one, its last event has been answered, but not as recorded.
            result.events += next(n for n, (event_id, _) in enumerate(events) if event_id == place.event_id)
            result.failure = None
            return False
        else:
            result.reasons += 1
            result.first_reason = result.first_reason or place
    result.operations += len(recorded)
    result.events += len(ends)
    return result.failure is None


def _differences(
    batch: Answered,
    events: Sequence[tuple[int, SearcherEvent]],
    ends: Sequence[int],
    recorded: Sequence[Operation],
    replayed: Sequence[Operation],
) -> Iterator[Difference]:
    for number in range(max(len(recorded), len(replayed))):
        ours = recorded[number] if number < len(recorded) else None
        theirs = replayed[number] if number < len(replayed) else None
        if _is_same(ours, theirs):
            continue
        fields = difference(ours, theirs)
        if fields or (ours is not None and theirs is not None and not same_reason(ours, theirs)):
            place = min(bisect_right(ends, number), len(events) - 1)
            yield Difference(batch.seq, batch.at, *events[place], number, ours, theirs, fields)
