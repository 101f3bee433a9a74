from __future__ import annotations

import uuid
from typing import Any

import msgspec
import pytest

from determined.domain import facts
from determined.domain.events import (
    ExitCause,
    SearcherEvent,
    TrialClosed,
    TrialCreated,
    TrialExitedEarly,
    TrialProgress,
)
from determined.domain.events import ValidationCompleted as Validated
from determined.domain.facts import Verb
from determined.domain.operations import Close, Create, Operation, Progress, Shutdown, ValidateAfter
from determined.errors import CorruptState, InvalidInput, NotFound
from determined.wire.decisions import Decision, DecisionReader, causes
from determined.wire.searcher import event_to_json, operation_to_json
from determined.workshop.recording import Recording
from determined.workshop.why import after, decisions_of, trial_named, what, why
from tests.unit.workshop.recorded_search import CUSTOM, RANDOM, RecordedSearch, complete, hosted_search, loss
from tests.unit.workshop.search_methods import Halves

A, B = uuid.UUID(int=1), uuid.UUID(int=2)


def recorded(**options: Any) -> Recording:
    return RecordedSearch(Halves(), complete(CUSTOM), **options).run()


def test_every_operation_but_progress_is_a_decision_in_its_place() -> None:
    recording = recorded()
    found = [(d.seq, d.request_id, d.reason) for d in decisions_of(recording)]
    assert found == [
        (batch.seq, str(op.request_id) if not isinstance(op, Shutdown) else None, op.reason)
        for batch in recording.answers()
        for op in batch.operations
        if not isinstance(op, Progress)
    ]


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_a_decision_knows_the_event_that_led_to_it_and_its_numbers(batch: int) -> None:
    recording = recorded(batch=batch)
    trials = {int(trial.id): trial for trial in recording.trials()}
    best: dict[int, float] = {}
    for d in decisions_of(recording):
        assert d.first_event <= (d.cause.event_id if d.cause else 0) <= d.last_event
        if d.kind == "createTrial" or d.reason == "to begin with":
            assert d.cause is not None
            assert d.cause.kind == "initialOperations"
        elif d.kind == "shutDown":
            assert d.cause is not None
            assert d.cause.kind == "trialClosed"
        else:
            assert d.cause is not None
            assert d.trial_id is not None
            assert (d.cause.kind, d.cause.trial_id) == ("validationCompleted", d.trial_id)
            expected = loss(trials[d.trial_id].hparams, d.cause.length or 0)
            assert d.cause.metric == d.reason_numbers["metric"] == expected
            best.setdefault(d.cause.length or 0, expected)
            assert d.reason_numbers["best"] == best[d.cause.length or 0]
            if d.kind == "validateAfter":
                best[d.cause.length or 0] = expected


def test_the_end_that_the_master_adds_belongs_to_the_last_close() -> None:
    *_, last = decisions_of(hosted_search(RANDOM))
    assert (last.kind, last.reason, last.reason_numbers) == ("shutDown", "all 8 trials are over", {"trials": 8})
    assert last.cause is not None
    assert last.cause.kind == "trialClosed"


def test_one_trial_is_told_alone_its_last_reason_first() -> None:
    recording = recorded()
    everything = list(decisions_of(recording))
    for trial in recording.trials():
        own = list(decisions_of(recording, trial.id))
        assert own == list(decisions_of(recording, trial.request_id))
        assert own == [d for d in everything if d.trial_id == trial.id]
        told = why(own)
        assert told.last == own[-1]
        assert told.headline == f"Trial {trial.id} was closed: {own[-1].reason}"
        assert (told.trial_id, told.request_id) == (trial.id, str(trial.request_id))


def test_a_trial_that_nobody_closed_hears_of_the_end() -> None:
    class Forgetful(Halves):
        def on_validation_completed(self, state: Any, request_id: Any, metric: Any, train_length: int) -> Any:
            return [Shutdown(reason="enough")]

    told = why(decisions_of(RecordedSearch(Forgetful(), complete(CUSTOM)).run(), 2))
    assert told.headline == "Trial 2 was open when the search was ended: enough"
    assert [what(d) for d in told.decisions] == ['create {"x": 0.5}', "train to 10", "end the search"]


def test_a_trial_without_reasons_is_told_so() -> None:
    told = why(decisions_of(hosted_search(RANDOM), 3))
    if told.last is None:
        assert told.headline == "Trial 3: its search method gave no reasons."


def test_what_comes_after_the_end_is_no_decision() -> None:
    search = RecordedSearch(Halves(), complete(CUSTOM))
    search.tell(facts.ExperimentCreated(at=0.0, active=True))
    search.post(Create(A, {"x": 0.1}), ValidateAfter(A, 5))
    search.post(Close(A, "first"), Shutdown(reason="over"), Create(B, {"x": 0.2}))
    assert [d.kind for d in decisions_of(search.recording())][-2:] == ["closeTrial", "shutDown"]
    search = RecordedSearch(Halves(), complete(CUSTOM))
    search.tell(facts.ExperimentCreated(at=0.0, active=True))
    search.post(Create(A, {"x": 0.1}), ValidateAfter(A, 5))
    search.train(*search.waiting.popleft())
    search.post(Create(B, {"x": 0.1}), trigger=1)
    search.tell(facts.ExperimentCommanded(at=5.0, verb=Verb.CANCEL))
    before = list(decisions_of(search.recording()))
    search.post(Close(A, "too late"), trigger=2)
    assert list(decisions_of(search.recording())) == before
    assert before[0].cause is None
    assert (before[0].first_event, before[0].last_event) == (0, 0)
    assert [d.trial_id for d in before] == [1, 1, 2]


def test_an_unknown_trial_is_not_found() -> None:
    with pytest.raises(NotFound, match="the recorded experiment 1 has no trial 9"):
        list(decisions_of(recorded(), 9))


def test_a_trial_is_named_by_either_id() -> None:
    assert trial_named("17") == 17
    assert trial_named(str(A)) == A
    for text in ("x", "-1", "1.5", "²", ""):
        with pytest.raises(InvalidInput, match="is no trial; give its id"):
            trial_named(text)


def test_causes_are_told_in_words() -> None:
    told = {after(d.cause) for d in decisions_of(recorded())}
    assert "the search began" in told
    assert any(text.startswith("trial 1 reached 10 with 0.5") for text in told)


# Which event an operation answers

P = Progress(0.5)
STARTED, CAME, DONE, LEFT, GONE = (
    TrialCreated(A),
    TrialProgress(A, 1.0),
    Validated(A, 0.5, 10),
    TrialExitedEarly(A, ExitCause.ERRORED),
    TrialClosed(A),
)
OPS: dict[str, Operation] = {"p": P, "w": ValidateAfter(A, 5), "c": Close(A), "s": Shutdown()}
EVENTS: dict[str, SearcherEvent] = {"S": STARTED, "P": CAME, "V": DONE, "E": LEFT, "C": GONE}


@pytest.mark.parametrize(
    ("events", "operations", "expected"),
    [
        ("V", "wcp", [0, 0, 0]),
        ("V", "wcpp", [0, 0, 0, 0]),
        ("S", "w", [0]),
        ("VV", "wpwp", [0, 0, 1, 1]),
        ("VV", "ppww", [0, 1, 1, 1]),
        ("SPV", "pwp", [1, 2, 2]),
        ("VS", "wpw", [0, 0, 1]),
        ("SC", "wp", [1, 1]),
        ("CC", "psp", [0, 1, 1]),
        ("CC", "pps", [0, 1, 1]),
        ("CS", "ps", [0, 0]),
        ("EC", "pp", [0, 1]),
        ("VV", "wpw", [None, None, None]),
        ("VV", "wppp", [None, None, None, None]),
        ("", "wc", [None, None]),
        ("VV", "", []),
    ],
)
def test_operations_are_given_to_the_events_that_they_answer(
    events: str, operations: str, expected: list[int | None]
) -> None:
    queue = [event_to_json(number, EVENTS[e]) for number, e in enumerate(events, 1)]
    assert causes(queue, [operation_to_json(OPS[o]) for o in operations]) == expected


# Reading the journal


def test_a_reader_of_one_trial_finds_what_a_reader_of_all_does() -> None:
    """It does not take most rows apart."""
    recording = recorded(batch=2)
    events = {n: event_to_json(n, event) for batch in recording.answers() for n, event in batch.events}

    def read(request_id: str | None) -> list[Decision]:
        reader = DecisionReader(request_id)
        batches = [b for part in _parts(recording.rows, 7) for b in reader.batches(part)]
        answered = [[events[n] for n in range(b.first, b.last + 1) if n] for b in batches]
        return [d for b, queue in zip(batches, answered, strict=True) for d in reader.decisions(b, queue)]

    everything = read(None)
    for trial in recording.trials():
        assert read(str(trial.request_id)) == [d for d in everything if d.trial_id == trial.id]


def _parts(rows: list[Any], size: int) -> list[list[Any]]:
    return [rows[at : at + size] for at in range(0, len(rows), size)]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format": 9}, "has format 9; this version reads format 1: upgrade it"),
        ({"body": b"{"}, "the journal of experiment 1 is damaged"),
        ({"body": b'{"operations": [{"createTrial": {}}], "trigger": 1, "first_trial_id": 1}'}, "is damaged"),
    ],
)
def test_a_row_that_cannot_be_read_is_told(change: dict[str, Any], told: str) -> None:
    rows = recorded().rows
    rows[1] = msgspec.structs.replace(rows[1], **change)
    with pytest.raises(CorruptState, match=told):
        DecisionReader().batches(rows)


def test_json_keeps_hyperparameters_and_numbers_as_they_are() -> None:
    search = RecordedSearch(Halves(), complete(CUSTOM))
    search.tell(facts.ExperimentCreated(at=0.0, active=True))
    search.post(Create(A, '{"x": 1.0,\n "n": {"big": 12345678901234567890}}'))
    line = msgspec.json.encode(next(iter(decisions_of(search.recording()))))
    assert b"\n" not in line
    assert msgspec.json.decode(line)["hparams"] == {"x": 1.0, "n": {"big": 12345678901234567890}}
