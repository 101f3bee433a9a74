from __future__ import annotations

import json
import uuid

import pytest

from determined.domain.events import ExitedReason
from determined.domain.hparams import Double, Space
from determined.domain.operations import Create, Operation, Shutdown
from determined.domain.search_method import SearcherState
from determined.methods.ending import Ending, ending
from determined.methods.random import RandomSearch


def make() -> Ending:
    method = ending(RandomSearch(Space.of({"x": Double(0, 1)}), 10, 3, max_concurrent_trials=2, seed=5))
    assert isinstance(method, Ending)
    return method


def created(operations: list[Operation]) -> list[uuid.UUID]:
    return [op.request_id for op in operations if isinstance(op, Create)]


@pytest.mark.parametrize(
    ("early", "expected"),
    [
        (None, Shutdown(reason="all 3 trials are over")),
        (ExitedReason.ERRORED, Shutdown(failure=True, reason="every trial failed")),
        (ExitedReason.USER_CANCELED, Shutdown(cancel=True, reason="all 3 trials are over")),
    ],
)
def test_the_last_trial_ends_the_search(early: ExitedReason | None, expected: Shutdown) -> None:
    method, state = make(), SearcherState()
    waiting = created(method.initial_operations(state))
    answers: list[Operation] = []
    while waiting:
        assert not any(isinstance(op, Shutdown) for op in answers)
        trial = waiting.pop(0)
        method.on_trial_created(state, trial)
        if early is None:
            method.on_validation_completed(state, trial, 0.1, 10)
        else:
            method.on_trial_exited_early(state, trial, early)
        answers = method.on_trial_closed(state, trial)
        waiting += created(answers)
        saved = json.loads(json.dumps(method.snapshot()))
        method = make()
        method.restore(saved)
    assert answers == [expected]
    assert method.progress(state) == 1.0


def test_progress_of_trials_reaches_the_wrapped_method() -> None:
    method, state = make(), SearcherState()
    [trial, _] = created(method.initial_operations(state))
    method.on_trial_created(state, trial)
    method.on_trial_progress(state, trial, 5.0)
    # Half of one of three trials.
    assert method.progress(state) == 0.5 / 3


def test_a_method_is_wrapped_once_and_only_if_it_asks_for_it() -> None:
    method = make()
    assert ending(method) is method
    own = method.method
    own.auto_shutdown = False
    assert ending(own) is own
