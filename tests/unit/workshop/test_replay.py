from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from determined.domain.events import ExitedReason, TrialClosed, ValidationCompleted
from determined.domain.operations import Close, Create, Operation, Progress, Shutdown, ValidateAfter
from determined.domain.reasons import Reason
from determined.domain.search_method import SearcherState, SearchMethod
from determined.errors import FailedPrecondition, InvalidInput
from determined.methods.random import RandomSearch
from determined.testing import history
from determined.workshop import explain
from determined.workshop.load import load_factory
from determined.workshop.recording import Answered, Recording
from determined.workshop.recording_file import Header
from determined.workshop.replay import ReplayResult, known_arguments, recorded_method, replay
from determined.workshop.stepping import stop_in
from tests.unit.workshop.recorded_search import CUSTOM, RANDOM, RecordedSearch, complete, hosted_search
from tests.unit.workshop.search_methods import Fails, Flipped, Halves, Hurried, Wordy

HISTORIES = sorted((Path(__file__).parents[2] / "histories" / "recorded").glob("*.jsonl"))


def recorded(**options: Any) -> Recording:
    return RecordedSearch(Halves(), complete(CUSTOM), **options).run()


def text_of(result: ReplayResult) -> str:
    return "\n".join(explain.summary(result, lambda rid: f"trial {rid.int}"))


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_the_same_method_answers_the_same(batch: int) -> None:
    recording = recorded(batch=batch)
    result = replay(recording, Halves)
    operations = [op for b in recording.answers() for op in b.operations]
    assert result.is_identical
    assert (result.operations, result.first_event) == (len(operations), None)
    assert result.events == sum(len(b.events) for b in recording.answers())
    assert text_of(result) == f"Identical: {result.events} events and {result.operations} operations are as recorded."


@pytest.mark.parametrize(
    "searcher",
    [
        RANDOM,
        {"name": "grid", "metric": "loss", "max_length": 10},
        {"name": "single", "metric": "loss", "max_length": 10},
    ],
    ids=lambda searcher: str(searcher["name"]),
)
def test_a_method_of_the_master_is_made_from_the_recorded_configuration(searcher: dict[str, Any]) -> None:
    if searcher["name"] == "grid":
        recording = hosted_search(searcher, x={"type": "int", "minval": 0, "maxval": 4, "count": 5})
    else:
        recording = hosted_search(searcher)
    result = replay(recording, recorded_method(recording))
    assert result.is_identical, text_of(result)
    assert result.reasons == 0
    assert isinstance([op for b in recording.answers() for op in b.operations][-1], Shutdown)


def test_trials_that_fail_are_told_as_they_were() -> None:
    recording = hosted_search(RANDOM, metric=lambda hparams, length: None)
    assert recording.header.state == "ERROR"
    assert replay(recording, recorded_method(recording)).is_identical


def test_a_runners_method_has_to_be_named() -> None:
    with pytest.raises(FailedPrecondition, match="name it with --method module:Class"):
        recorded_method(recorded())


def test_a_method_that_leaves_its_end_to_others_is_ended_as_its_runner_did_it() -> None:
    method = RandomSearch(parse_space(), 10, 5, seed=3)
    recording = RecordedSearch(method, complete(CUSTOM)).run()
    assert recording.header.state == "COMPLETED"
    assert replay(recording, lambda: RandomSearch(parse_space(), 10, 5, seed=3)).is_identical
    other = replay(recording, lambda: RandomSearch(parse_space(), 10, 5, seed=4))
    assert other.difference is not None
    assert other.events == other.operations == 0
    assert "draw them from a seed" in str(explain.hint(other))


def parse_space() -> Any:
    from determined.domain.config import parse_space

    return parse_space({"x": {"type": "double", "minval": 0.0, "maxval": 1.0}})


def test_another_method_is_made_with_what_the_configuration_says(tmp_path: Path) -> None:
    recording = hosted_search(RANDOM)
    spec = "determined.methods.random:RandomSearch"
    known = known_arguments(recording)
    assert replay(recording, load_factory(spec, {}, known)).is_identical
    fewer = replay(recording, load_factory(spec, {"max_trials": 7}, known))
    assert fewer.difference is not None
    assert isinstance(fewer.difference.event, TrialClosed)
    assert isinstance(fewer.difference.recorded, Create)
    assert fewer.progress > 0


def test_the_first_difference_is_shown_with_the_event_that_was_answered() -> None:
    recording = recorded()
    result = replay(recording, Flipped)
    assert not result.is_identical
    place = result.difference
    assert place is not None
    assert isinstance(place.event, ValidationCompleted)
    first_worse = next(
        (number, event)
        for batch in recording.answers()
        for number, event in batch.events
        if isinstance(event, ValidationCompleted) and event.request_id == uuid.UUID(int=2)
    )
    assert (place.event_id, place.event) == first_worse
    assert result.events == place.event_id - 1
    assert place.recorded == ValidateAfter(uuid.UUID(int=2), 20, place.recorded.reason)  # type: ignore[union-attr]
    assert isinstance(place.replayed, Close)
    assert [(f.name, f.recorded, f.replayed) for f in place.fields] == [
        ("operation", "ValidateAfter", "Close"),
        ("length", 20, None),
    ]
    assert f"Different at event {place.event_id} (trial 2 reached 10 with metric" in text_of(result)
    [marked] = [row for row in explain.side_by_side(result) if row[0] == ">"]
    assert marked[1].startswith("ValidateAfter(request_id=00000000-0000-0000-0000-000000000002, length=20)\n")
    assert marked[2].startswith("Close(request_id=00000000-0000-0000-0000-000000000002)\n")
    told = explain.as_json(result)
    assert told["difference"]["event"]["id"] == place.event_id
    assert told["difference"]["recorded"]["trialOperation"]["validateAfter"]["length"] == "20"
    assert told["difference"]["fields"][1] == {"name": "length", "recorded": 20, "replayed": None}


def test_hyperparameters_are_compared_exactly() -> None:
    step = 0.25 - 2**-53
    result = replay(recorded(), lambda: Halves(step))
    assert result.difference is not None
    [field] = result.difference.fields
    assert (field.name, field.recorded, field.replayed) == ("hparams.x", 0.75, 0.75 + 2**-53)
    assert (result.difference.event_id, result.difference.number, result.operations) == (1, 0, 0)


def test_an_event_whose_answer_is_cut_short_is_not_as_recorded() -> None:
    recording = hosted_search(RANDOM)
    known = known_arguments(recording)
    factory = load_factory("determined.methods.random:RandomSearch", {"max_concurrent_trials": 2}, known)
    result = replay(recording, factory)
    assert result.difference is not None
    assert (result.difference.event_id, result.difference.replayed) == (1, None)
    assert (result.events, result.operations) == (0, 6)
    assert "  0 events and 6 operations before it are as recorded." in text_of(result)


@pytest.mark.parametrize("until", [0, -1, 30])
def test_a_replay_cannot_end_at_an_event_that_is_not_there(until: int) -> None:
    with pytest.raises(InvalidInput, match=f"has no event {until} to be told; its events are 1 to 29"):
        replay(recorded(), Halves, until=until)


def test_an_operation_too_many_or_too_few_is_a_difference() -> None:
    class Silent(Halves):
        def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
            return []

    fewer = replay(recorded(), Silent).difference
    more = replay(RecordedSearch(Silent(), complete(CUSTOM)).run(), Halves).difference
    assert fewer is not None
    assert isinstance(fewer.recorded, Shutdown)
    assert isinstance(fewer.replayed, Progress)
    assert more is not None
    assert isinstance(more.recorded, Progress)
    assert isinstance(more.replayed, Shutdown)


def test_another_progress_is_told_apart_and_the_replay_goes_on() -> None:
    recording = recorded()
    result = replay(recording, Hurried)
    assert result.difference is None
    assert not result.is_identical
    assert result.progress == sum(isinstance(op, Progress) for b in recording.answers() for op in b.operations)
    assert result.events == replay(recording, Halves).events
    assert text_of(result).startswith("The decisions are as recorded, all")
    assert "first at event 3: recorded 0.0, replayed 0.01" in text_of(result)


def test_other_reasons_are_told_and_are_no_difference() -> None:
    result = replay(recorded(), Wordy)
    assert result.is_identical
    assert result.reasons == 1
    assert "recorded: all are closed\n  replayed: everybody has gone home" in text_of(result)


def test_other_numbers_behind_the_same_words_are_another_reason() -> None:
    class Precise(Halves):
        def on_validation_completed(self, state: Any, request_id: Any, metric: Any, train_length: int) -> Any:
            [op] = super().on_validation_completed(state, request_id, metric, train_length)
            assert isinstance(op, (ValidateAfter, Close))
            assert isinstance(op.reason, Reason)
            reason = Reason.told(str(op.reason), **{**op.reason.numbers, "metric": metric + 1e-12})
            return [
                Close(request_id, reason) if isinstance(op, Close) else ValidateAfter(request_id, op.length, reason)
            ]

    result = replay(recorded(), Precise)
    assert result.is_identical
    assert result.reasons > 0


def test_a_method_that_raises_is_shown_with_its_event() -> None:
    result = replay(recorded(), Fails)
    assert result.failure is not None
    assert isinstance(result.failure.event, TrialClosed)
    assert result.failure.error == "ZeroDivisionError: two are too many"
    assert 'raise ZeroDivisionError("two are too many")' in result.failure.trace
    assert result.events == result.failure.event_id - 1
    assert f"at event {result.failure.event_id} (trial " in text_of(result)


def test_an_answer_that_no_master_would_take_is_a_failure_of_the_method() -> None:
    class Odd(Halves):
        def on_trial_created(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
            return None  # type: ignore[return-value]

    result = replay(recorded(), Odd)
    assert result.failure is not None
    assert "on_trial_created returned None; return a list of operations" in result.failure.error


def test_a_difference_before_a_failure_in_the_same_batch_comes_first() -> None:
    class Both(Flipped):
        def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
            raise ZeroDivisionError

    result = replay(recorded(batch=100), Both)
    assert result.difference is not None
    assert result.failure is None


@pytest.mark.parametrize("until", range(1, 24))
def test_a_replay_ends_where_it_is_told_to(until: int) -> None:
    told: list[int] = []
    result = replay(recorded(batch=5), Halves, until=until, on_event=lambda number, event, method: told.append(number))
    assert result.is_identical
    assert told == list(range(1, until + 1))
    assert result.events == until


def test_a_search_whose_method_raised_raises_again_in_its_replay() -> None:
    search = RecordedSearch(Fails(), complete(CUSTOM))
    with pytest.raises(ZeroDivisionError):
        search.run()
    recording = Recording(search.recording().header, search.lines)
    result = replay(recording, Fails)
    assert result.failure is not None
    assert result.failure.error == "ZeroDivisionError: two are too many"
    assert result.unanswered > 0
    assert replay(recording, Halves).is_identical


def test_operations_posted_by_hand_are_left_out() -> None:
    search = RecordedSearch(Halves(), complete(CUSTOM))
    answer = search.answer

    def once() -> None:
        search.answer = answer  # type: ignore[method-assign]
        answer()
        search.post(Progress(0.5))

    search.answer = once  # type: ignore[method-assign]
    result = replay(search.run(), Halves)
    assert result.is_identical
    assert result.unprompted == 1
    assert "1 operations were posted by hand" in text_of(result)


class Echo(SearchMethod):
    """Answers what was recorded, as each event comes."""

    def __init__(self, answers: list[Answered]) -> None:
        self.left = {number: batch for batch in answers for number, _ in batch.events}
        self.heard = 0

    def say(self) -> list[Operation]:
        self.heard += 1
        batch = self.left[self.heard]
        return list(batch.operations) if self.heard == batch.events[-1][0] else []

    def initial_operations(self, state: SearcherState) -> list[Operation]:
        return self.say()

    def on_trial_created(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        return self.say()

    def on_validation_completed(
        self, state: SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[Operation]:
        return self.say()

    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        return self.say()

    def on_trial_exited_early(
        self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason
    ) -> list[Operation]:
        return self.say()

    def progress(self, state: SearcherState) -> float:
        return 0.5


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: str(path.stem))
def test_recorded_journals_of_the_past_can_be_replayed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their methods drew from no seed, so what plays them is an echo: each event has to come when it came then."""
    old = history.load(path)
    config = complete(CUSTOM, max_restarts=old.settings.max_restarts)
    header = Header(software="0", experiment_id=old.settings.experiment_id, name="old", state="", config=config)
    recording = Recording(header, old.rows)
    echo = Echo(list(recording.answers()))
    monkeypatch.setattr("determined.workshop.replay.dispatch", lambda method, state, event: echo.say())
    result = replay(recording, lambda: echo)
    assert result.is_identical, text_of(result)
    assert result.events == max(echo.left)


def test_the_debugger_stops_one_step_before_the_methods_code(monkeypatch: pytest.MonkeyPatch) -> None:
    stops: list[tuple[str, dict[str, Any]]] = []

    def look() -> None:
        frame = sys._getframe(1)
        stops.append((frame.f_locals["handler"].__name__, dict(frame.f_locals)))

    monkeypatch.setattr(sys, "breakpointhook", look)

    def on_event(number: int, event: Any, method: SearchMethod) -> None:
        if number == 1 or isinstance(event, ValidationCompleted):
            stop_in(method, event)

    result = replay(recorded(), Halves, on_event=on_event)
    assert result.is_identical
    assert [name for name, _ in stops[:2]] == ["initial_operations", "on_validation_completed"]
    assert stops[1][1]["arguments"][3] == 10
    validations = sum(isinstance(e, ValidationCompleted) for b in recorded().answers() for _, e in b.events)
    assert len(stops) == 1 + validations


def test_a_debugger_that_is_left_ends_the_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    from bdb import BdbQuit

    def leave() -> None:
        raise BdbQuit

    monkeypatch.setattr(sys, "breakpointhook", leave)
    stop: Callable[..., None] = lambda number, event, method: stop_in(method, event)  # noqa: E731
    with pytest.raises(BdbQuit):
        replay(recorded(), Halves, on_event=stop)
