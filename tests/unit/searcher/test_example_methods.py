"""The search methods of the examples, driven to their end without a master."""

from __future__ import annotations

import importlib.util
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from determined import searcher
from determined.domain.events import (
    ExitCause,
    InitialOperations,
    SearcherEvent,
    TrialClosed,
    TrialCreated,
    TrialExitedEarly,
    ValidationCompleted,
)
from determined.domain.search_method import dispatch

EXAMPLES = Path(__file__).parents[3] / "examples"
NewMethod = Callable[[], searcher.SearchMethod]
Train = Callable[[int, int], Any]


def example(path: str) -> Any:
    """The module of an example, which is no package."""
    spec = importlib.util.spec_from_file_location(f"example_{Path(path).stem}", EXAMPLES / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Drive:
    """Trains each trial the moment that it gets work; replaces the method by a saved copy before every event.

    Args:
        train: number of the trial and length -> metric, or an ExitCause for a trial that ends there.
    """

    def __init__(self, new: NewMethod, train: Train, folder: Path) -> None:
        self.new, self.train, self.folder = new, train, folder
        self.method = new()
        self.state = searcher.SearcherState()
        self.trials: dict[uuid.UUID, list[int]] = {}
        self.sources: dict[uuid.UUID, str | None] = {}
        self.closed: set[uuid.UUID] = set()
        self.over = False
        self.queue: list[SearcherEvent] = [InitialOperations()]
        while self.queue and not self.over:
            self.reload()
            self.apply(dispatch(self.method, self.state, self.queue.pop(0)))

    def reload(self) -> None:
        self.folder.joinpath(str(self.state.last_event_id)).mkdir()
        self.method.save_method_state(self.folder / str(self.state.last_event_id))
        self.method = self.new()
        self.method.load_method_state(self.folder / str(self.state.last_event_id))
        self.state.last_event_id += 1

    def apply(self, operations: list[searcher.Operation]) -> None:
        work: dict[uuid.UUID, int] = {}
        for op in operations:
            if isinstance(op, searcher.Create):
                assert op.request_id not in self.trials
                self.trials[op.request_id], self.sources[op.request_id] = [], op.checkpoint
                self.queue.append(TrialCreated(op.request_id))
            elif isinstance(op, searcher.ValidateAfter):
                assert op.request_id not in self.closed
                assert op.length > max(self.trials[op.request_id], default=0)
                work[op.request_id] = op.length
            elif isinstance(op, searcher.Shutdown):
                self.over = True
        for request_id, length in work.items():
            self.trials[request_id].append(length)
            result = self.train(list(self.trials).index(request_id), length)
            if isinstance(result, ExitCause):
                self.queue.append(TrialExitedEarly(request_id, result))
                self.close(request_id)
            else:
                self.queue.append(ValidationCompleted(request_id, result, length))
        for op in operations:
            if isinstance(op, searcher.Close):
                self.close(op.request_id)

    def close(self, request_id: uuid.UUID) -> None:
        if request_id not in self.closed:
            self.closed.add(request_id)
            self.queue.append(TrialClosed(request_id))

    def lengths(self) -> Counter[int]:
        """How many trials trained to each length."""
        return Counter(length for lengths in self.trials.values() for length in lengths)


def new_asha(**settings: Any) -> NewMethod:
    module = example("asha/asha.py")
    return lambda: module.ASHASearchMethod(module.sample_digits, **{"max_length": 9, "max_trials": 18, **settings})


def test_asha_promotes_about_one_in_three_and_ends(tmp_path: Path) -> None:
    drive = Drive(new_asha(), lambda trial, length: (trial * 7 % 18) / length, tmp_path)
    assert drive.over
    assert len(drive.trials) == 18
    assert drive.lengths()[1] == 18
    assert 6 <= drive.lengths()[3] <= 9
    assert 2 <= drive.lengths()[9] <= 4
    assert drive.method.progress(drive.state) == 1.0


def test_asha_trains_the_best_trial_to_the_end(tmp_path: Path) -> None:
    drive = Drive(new_asha(), lambda trial, length: abs(trial - 5), tmp_path)
    assert list(drive.trials.values())[5] == [1, 3, 9]


def test_asha_can_maximize(tmp_path: Path) -> None:
    drive = Drive(new_asha(smaller_is_better=False), lambda trial, length: float(trial), tmp_path)
    assert list(drive.trials.values())[17] == [1, 3, 9]
    assert next(iter(drive.trials.values())) == [1]


@pytest.mark.parametrize("cause", [ExitCause.ERRORED, ExitCause.KILLED])
def test_asha_survives_failing_trials_and_never_promotes_them(tmp_path: Path, cause: ExitCause) -> None:
    drive = Drive(new_asha(), lambda trial, length: cause if trial % 3 == 0 else trial / length, tmp_path)
    assert drive.over
    assert len(drive.trials) == 18
    assert all(lengths == [1] for lengths in list(drive.trials.values())[::3])


def test_asha_replaces_trials_whose_hyperparameters_are_invalid(tmp_path: Path) -> None:
    drive = Drive(new_asha(), lambda trial, length: ExitCause.INVALID_HP if trial < 5 else trial, tmp_path)
    assert drive.over
    assert len(drive.trials) == 18 + 5


def test_asha_takes_nan_for_the_worst(tmp_path: Path) -> None:
    drive = Drive(new_asha(), lambda trial, length: float("nan") if trial == 0 else trial / length, tmp_path)
    assert drive.over
    assert next(iter(drive.trials.values())) == [1]


@pytest.mark.parametrize("rungs", [1, 2, 4])
def test_asha_ends_with_any_number_of_rungs_and_places(tmp_path: Path, rungs: int) -> None:
    for places in (1, 3, 50):
        folder = tmp_path / str(places)
        folder.mkdir()
        settings = {"max_length": 27, "num_rungs": rungs, "max_concurrent_trials": places}
        assert Drive(new_asha(**settings), lambda trial, length: trial, folder).over


def test_asha_refuses_more_rungs_than_the_length_allows() -> None:
    with pytest.raises(ValueError, match="at least 27"):
        new_asha(num_rungs=4)()


def test_population_based_training_replaces_the_worst_by_children_of_the_best(tmp_path: Path) -> None:
    def train(trial: int, length: int) -> Any:
        return {"error": trial / length, "checkpoint": str(uuid.UUID(int=1000 * trial + length))}

    drive = Drive(example("pbt/pbt.py").PopulationBasedTraining, train, tmp_path)
    assert drive.over
    assert len(drive.trials) == 8 + 3 * 2
    children = list(drive.sources.values())[8:]
    assert set(children[:2]) <= {train(0, 2)["checkpoint"], train(1, 2)["checkpoint"]}
    assert next(iter(drive.trials.values())) == [2, 4, 6, 8]


@pytest.mark.parametrize("dying", [range(3), range(20)])
def test_population_based_training_survives_dying_members(tmp_path: Path, dying: range) -> None:
    def train(trial: int, length: int) -> Any:
        return ExitCause.ERRORED if trial in dying else {"error": trial, "checkpoint": str(uuid.UUID(int=trial))}

    assert Drive(example("pbt/pbt.py").PopulationBasedTraining, train, tmp_path).over


def test_random_search_trains_each_trial_once(tmp_path: Path) -> None:
    drive = Drive(example("random_search.py").RandomSearch, lambda trial, length: trial, tmp_path)
    assert drive.over
    assert drive.lengths() == {3: 8}
