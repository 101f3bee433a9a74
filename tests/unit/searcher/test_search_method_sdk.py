from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, List  # noqa: UP035 - users write it this way

import pytest

from determined import searcher
from determined.domain import search_method as contract
from determined.errors import CorruptState
from determined.searcher.method import load_from, save_into, save_whole

Ops = list[searcher.Operation]
RID = uuid.UUID(int=1)


class Quiet(searcher.SearchMethod):
    def initial_operations(self, state: searcher.SearcherState) -> Ops:
        return []

    def on_trial_created(self, state: searcher.SearcherState, request_id: uuid.UUID) -> Ops:
        return []

    def on_validation_completed(
        self, state: searcher.SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> Ops:
        return []

    def on_trial_closed(self, state: searcher.SearcherState, request_id: uuid.UUID) -> Ops:
        return []

    def on_trial_exited_early(
        self, state: searcher.SearcherState, request_id: uuid.UUID, exited_reason: searcher.ExitedReason
    ) -> Ops:
        return []

    def progress(self, state: searcher.SearcherState) -> float:
        return 0.0


class Counting(Quiet):
    def __init__(self, count: float = 0.0) -> None:
        self.count = count

    def snapshot(self) -> dict[str, Any]:
        return {"count": self.count}

    def restore(self, saved: Mapping[str, Any]) -> None:
        self.count = saved["count"]


def a_state() -> searcher.SearcherState:
    state = searcher.SearcherState()
    state.failures.add(RID)
    state.trial_progress[RID] = 2.5
    state.trials_created.add(RID)
    state.trials_closed.add(RID)
    state.last_event_id = 9
    return state


def test_a_method_without_its_handlers_is_told_which_are_missing_and_what_they_are_for() -> None:
    class Half(searcher.SearchMethod):
        def initial_operations(self, state: searcher.SearcherState) -> Ops:
            return []

        def progress(self, state: searcher.SearcherState) -> float:
            return 0.0

    with pytest.raises(TypeError) as refused:
        Half()  # type: ignore[abstract]
    message = str(refused.value)
    assert message.startswith("Half cannot be used")
    for name in ("on_trial_created", "on_validation_completed", "on_trial_closed", "on_trial_exited_early"):
        assert f"  {name}: called" in message
    assert "initial_operations" not in message


def test_the_names_of_the_guide_are_all_there() -> None:
    for name in searcher.__all__:
        assert getattr(searcher, name) is not None
    assert set(searcher.__all__) >= {"SearchMethod", "LocalSearchRunner", "RemoteSearchRunner", "Operation"}


def test_operations_can_be_used_in_annotations_and_checks() -> None:
    def handler() -> List[searcher.Operation]:  # noqa: UP006
        return [searcher.Close(RID)]

    assert isinstance(handler()[0], searcher.Operation)


def test_a_method_is_saved_and_loaded_with_its_searcher_state(tmp_path: Path) -> None:
    Counting(7).save(a_state(), tmp_path, experiment_id=5)
    method = Counting()
    state, experiment_id = method.load(tmp_path)
    assert (method.count, experiment_id) == (7, 5)
    assert {**state.to_dict(), "experimentId": None} == a_state().to_dict()


def test_non_finite_numbers_in_a_snapshot_survive(tmp_path: Path) -> None:
    Counting(math.inf).save_method_state(tmp_path)
    method = Counting()
    method.load_method_state(tmp_path)
    assert method.count == math.inf


def test_a_method_without_own_state_writes_nothing_of_its_own(tmp_path: Path) -> None:
    save_into(Quiet(), a_state(), tmp_path, 5)
    assert list(tmp_path.iterdir()) == []
    load_from(Quiet(), tmp_path)


def test_a_method_that_replaces_save_and_load_has_them_called(tmp_path: Path) -> None:
    called: list[str] = []

    class Own(Counting):
        def save(self, state: searcher.SearcherState, path: Path, *, experiment_id: int) -> None:
            called.append("save")
            super().save(state, path, experiment_id=experiment_id)

        def load(self, path: Path) -> tuple[searcher.SearcherState, int]:
            called.append("load")
            return super().load(path)

    save_into(Own(3), a_state(), tmp_path, 5)
    method = Own()
    load_from(method, tmp_path)
    assert called == ["save", "load"]
    assert method.count == 3


class BuiltIn(contract.SearchMethod):
    """A method of the contract alone, as the built-in ones are."""

    count = 0
    initial_operations = Quiet.initial_operations
    on_trial_created = Quiet.on_trial_created
    on_validation_completed = Quiet.on_validation_completed
    on_trial_closed = Quiet.on_trial_closed
    on_trial_exited_early = Quiet.on_trial_exited_early
    progress = Quiet.progress

    def snapshot(self) -> dict[str, Any]:
        return {"count": self.count}

    def restore(self, saved: Mapping[str, Any]) -> None:
        self.count = saved["count"]


@pytest.mark.parametrize("whole", [True, False])
def test_methods_of_the_bare_contract_are_saved_through_their_snapshot(tmp_path: Path, whole: bool) -> None:
    method = BuiltIn()
    method.count = 4
    (save_whole if whole else save_into)(method, a_state(), tmp_path, 5)
    other = BuiltIn()
    load_from(other, tmp_path)
    assert other.count == 4
    assert (tmp_path / "state").exists() == whole


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"experimentId": 1, "failures": ["x"]}', "[" * 50_000])
def test_an_unreadable_searcher_state_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "state").write_text(content)
    with pytest.raises(CorruptState, match="not a readable searcher state"):
        Quiet().load(tmp_path)


def test_a_searcher_state_is_kept_in_the_layout_that_other_runners_read(tmp_path: Path) -> None:
    Quiet().save(a_state(), tmp_path, experiment_id=5)
    assert json.loads((tmp_path / "state").read_text()) == {
        "failures": [str(RID)],
        "trialProgress": {str(RID): 2.5},
        "trialsClosed": [str(RID)],
        "trialsCreated": [str(RID)],
        "lastEventId": 9,
        "experimentId": 5,
        "experimentCompleted": False,
    }
