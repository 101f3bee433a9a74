from __future__ import annotations

import uuid
from typing import Any

import pytest

from determined.domain.events import (
    ExitCause,
    ExitedReason,
    InitialOperations,
    SearcherEvent,
    TrialClosed,
    TrialCreated,
    TrialExitedEarly,
    TrialProgress,
    ValidationCompleted,
)
from determined.domain.operations import Close, Progress
from determined.domain.search_method import InvalidMethodAnswer, SearcherState, SearchMethod, dispatch

RID = uuid.UUID(int=1)


class Told(SearchMethod):
    """Says what the test wants, and keeps what it heard."""

    def __init__(self, answer: Any = (), progress: Any = 0.5) -> None:
        self.answer = answer
        self.value = progress
        self.heard: list[tuple[Any, ...]] = []

    def _hear(self, *what: Any) -> Any:
        self.heard.append(what)
        return self.answer

    def initial_operations(self, state: SearcherState) -> Any:
        return self._hear("initial")

    def on_trial_created(self, state: SearcherState, request_id: uuid.UUID) -> Any:
        return self._hear("created", request_id, request_id in state.trials_created)

    def on_validation_completed(
        self, state: SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> Any:
        return self._hear("validated", request_id, metric, train_length)

    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> Any:
        return self._hear("closed", request_id, request_id in state.trials_closed)

    def on_trial_exited_early(self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason) -> Any:
        return self._hear("exited", request_id, exited_reason)

    def progress(self, state: SearcherState) -> Any:
        return self.value


@pytest.mark.parametrize(
    ("event", "heard"),
    [
        (InitialOperations(), ("initial",)),
        (TrialCreated(RID), ("created", RID, True)),
        (ValidationCompleted(RID, 0.25, 9), ("validated", RID, 0.25, 9)),
        (TrialClosed(RID), ("closed", RID, True)),
        (TrialExitedEarly(RID, ExitCause.ERRORED), ("exited", RID, ExitedReason.ERRORED)),
        (TrialExitedEarly(RID, ExitCause.INVALID_HP), ("exited", RID, ExitedReason.INVALID_HP)),
        (TrialExitedEarly(RID, ExitCause.KILLED), ("exited", RID, ExitedReason.USER_CANCELED)),
        (TrialExitedEarly(RID, ExitCause.STOPPED_ITSELF), ("exited", RID, ExitedReason.USER_CANCELED)),
    ],
)
def test_each_event_has_its_handler_and_the_state_is_up_to_date_before_it(
    event: SearcherEvent, heard: tuple[Any, ...]
) -> None:
    method = Told([Close(RID)])
    operations = dispatch(method, SearcherState(), event)
    assert method.heard == [heard]
    with_progress = not isinstance(event, (InitialOperations, TrialCreated))
    assert operations == [Close(RID), Progress(0.5)] if with_progress else [Close(RID)]


def test_progress_of_a_trial_is_kept_and_answered_without_a_handler() -> None:
    method, state = Told(), SearcherState()
    assert dispatch(method, state, TrialProgress(RID, 40.0)) == [Progress(0.5)]
    assert method.heard == []
    assert state.trial_progress == {RID: 40.0}


def test_a_method_may_take_note_of_the_progress_of_a_trial_before_it_is_asked_for_its_own() -> None:
    class Noting(Told):
        def on_trial_progress(self, state: SearcherState, request_id: uuid.UUID, units: float) -> None:
            self.heard.append((request_id, units, state.trial_progress[request_id]))
            self.value = units / 80

    method = Noting()
    assert dispatch(method, SearcherState(), TrialProgress(RID, 40.0)) == [Progress(0.5)]
    assert method.heard == [(RID, 40.0, 40.0)]


def test_the_state_remembers_failures_and_forgets_the_progress_of_invalid_points() -> None:
    state = SearcherState()
    dispatch(Told(), state, TrialCreated(RID))
    assert state.trial_progress == {RID: 0.0}
    dispatch(Told(), state, TrialExitedEarly(RID, ExitCause.INVALID_HP))
    assert (state.trial_progress, state.failures) == ({}, set())
    dispatch(Told(), state, TrialExitedEarly(RID, ExitCause.ERRORED))
    assert state.failures == {RID}


def test_the_state_survives_being_saved_and_loaded() -> None:
    state, loaded = SearcherState(), SearcherState()
    for event in (
        TrialCreated(RID),
        TrialProgress(RID, 3.0),
        TrialExitedEarly(RID, ExitCause.ERRORED),
        TrialClosed(RID),
    ):
        dispatch(Told(), state, event)
    state.last_event_id, state.experiment_id, state.experiment_completed = 4, 7, True
    loaded.from_dict(state.to_dict())
    assert vars(loaded) == vars(state)


@pytest.mark.parametrize("answer", [None, 5, "close", b"close", Close(RID), [Close(RID), None], ["close"]])
def test_an_answer_that_is_no_list_of_operations_is_refused_by_the_handlers_name(answer: Any) -> None:
    with pytest.raises(InvalidMethodAnswer, match=r"Told\.on_trial_closed returned"):
        dispatch(Told(answer), SearcherState(), TrialClosed(RID))


def test_a_generator_of_operations_will_do() -> None:
    assert dispatch(Told(op for op in [Close(RID)]), SearcherState(), InitialOperations()) == [Close(RID)]


@pytest.mark.parametrize("value", [None, "half", float("nan"), float("inf"), [], 10**400])
def test_progress_that_is_no_finite_number_is_refused(value: Any) -> None:
    with pytest.raises(InvalidMethodAnswer, match=r"Told\.progress returned"):
        dispatch(Told(progress=value), SearcherState(), TrialProgress(RID, 1.0))


def test_a_method_that_lacks_a_handler_cannot_be_constructed_and_is_told_which() -> None:
    class Half(SearchMethod):
        initial_operations = Told.initial_operations
        on_trial_created = Told.on_trial_created
        on_trial_exited_early = Told.on_trial_exited_early
        progress = Told.progress

    with pytest.raises(TypeError, match=r"abstract methods.*on_trial_closed.*on_validation_completed"):
        Half()  # type: ignore[abstract]


def test_a_method_without_state_has_nothing_to_save_or_restore() -> None:
    method = Told()
    before = dict(vars(method))
    assert method.snapshot() is None
    method.restore({})
    assert vars(method) == before
