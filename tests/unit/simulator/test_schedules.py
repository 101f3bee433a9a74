from __future__ import annotations

from typing import Any

import pytest

from determined.domain.events import SearcherEvent, TrialProgress, ValidationCompleted
from determined.searcher import Limits, Operation, TrialModel, ValidateAfter, simulate
from tests.unit.simulator.worlds import Script, halves, rid, spans


def test_two_workers_take_trials_in_the_order_of_their_creation() -> None:
    result = simulate(Script({"a": [3], "b": [2], "c": [4]}), curve=halves, workers=2)
    assert spans(result) == {"a": (0, 3), "b": (0, 2), "c": (2, 6)}
    assert (result.outcome, result.time, result.units) == ("completed", 6, 9)
    assert (result.worker_time, result.available, result.utilisation) == (9, 12, 0.75)


def test_units_starts_and_validations_take_the_time_that_the_model_says() -> None:
    model = TrialModel(unit_time=2.0, start_time=1.0, validation_time=0.5)
    result = simulate(Script({"a": [3, 5]}), curve=halves, workers=1, trials=model)
    # One start, 5 units, two validations: the process goes on after the first.
    assert result.time == 1 + 5 * 2 + 2 * 0.5
    assert result.trials[0].lengths == (3, 5)


def test_the_time_of_a_unit_may_depend_on_the_hyperparameters() -> None:
    model = TrialModel(unit_time=lambda hparams: {"a": 1.0, "b": 10.0}[hparams["name"]])
    assert spans(simulate(Script({"a": [2], "b": [2]}), curve=halves, trials=model)) == {"a": (0, 2), "b": (0, 20)}


def test_a_trial_whose_next_operation_comes_at_once_keeps_its_worker() -> None:
    result = simulate(Script({"a": [1, 2], "b": [1]}), curve=halves, workers=1, trials=TrialModel(start_time=10))
    assert spans(result) == {"a": (0, 12), "b": (12, 23)}


class Late(Script):
    """Gives ``a`` its second length only when ``b`` is done."""

    def next(self, name: str) -> list[Operation]:
        if name == "a" and len(self.lengths["a"]) == 1 and self.heard:
            return []
        return [*super().next(name), *(super().next("a") if name == "b" and self.heard else [])]


def test_a_trial_without_work_makes_room_and_goes_on_from_its_checkpoint() -> None:
    result = simulate(Late({"a": [4, 6], "b": [2]}), curve=halves, workers=1, trials=TrialModel(start_time=1))
    # a: start 0-1, trains 1-5. b: start 5-6, trains 6-8. a: starts again 8-9, two units 9-11.
    assert spans(result) == {"a": (0, 11), "b": (5, 8)}
    assert result.units == 8


def test_a_trial_without_work_keeps_its_process_while_nobody_wants_its_worker() -> None:
    result = simulate(Late({"a": [1, 3], "b": [4]}), curve=halves, workers=2, trials=TrialModel(start_time=1))
    # a waits from 2 to 5 without using its worker, and does not start again.
    assert spans(result) == {"a": (0, 7), "b": (0, 5)}
    assert result.worker_time == 2 + 2 + 5


def test_from_scratch_trains_each_operation_from_the_beginning() -> None:
    result = simulate(Script({"a": [2, 5]}), curve=halves, trials=TrialModel(from_scratch=True))
    assert (result.time, result.units, result.trials[0].metrics) == (7, 7, (0.5, 0.2))


@pytest.mark.parametrize(("every", "reports"), [(1, [1, 2, 3, 4, 5]), (2, [2, 3, 5]), (None, [3, 5])])
def test_progress_is_reported_every_so_often_and_at_the_end_of_each_operation(
    every: int | None, reports: list[float]
) -> None:
    heard: list[float] = []

    def listen(time: float, event: SearcherEvent, operations: Any) -> None:
        if isinstance(event, TrialProgress):
            heard.append(event.partial_units)
            assert time == event.partial_units

    model = TrialModel(report_every=every)
    result = simulate(Script({"a": [3, 5]}), curve=halves, trials=model, on_event=listen)
    assert heard == reports
    assert result.reports == result.events["TrialProgress"] == len(reports)
    assert (result.time, result.units) == (5, 5)


def test_the_observer_sees_each_event_with_its_answer_and_time() -> None:
    seen: list[tuple[float, SearcherEvent, list[Operation]]] = []
    simulate(
        Script({"a": [2, 3]}), curve=halves, on_event=lambda time, event, answer: seen.append((time, event, [*answer]))
    )
    [(time, event, answer)] = [s for s in seen if isinstance(s[1], ValidationCompleted) and s[1].length == 2]
    assert (time, event) == (2, ValidationCompleted(rid("a"), 0.5, 2))
    assert answer[0] == ValidateAfter(rid("a"), 3)


def test_workers_come_and_go() -> None:
    # From 0 to 2 nobody works; then two workers; at 4 one of them is taken from b, which has trained 2 units.
    result = simulate(Script({"a": [5], "b": [5]}), curve=halves, workers=[(2, 2), (4, 1), (20, 2)])
    assert spans(result) == {"a": (2, 7), "b": (2, 10)}
    assert (result.units, result.available) == (10, 2 * 2 + 6)


def test_slots_per_trial_and_max_slots_come_from_the_configuration() -> None:
    config = {
        "searcher": {"name": "custom", "metric": "loss"},
        "resources": {"slots_per_trial": 2, "max_slots": 3},
    }
    result = simulate(Script({"a": [1], "b": [1]}), config, halves, workers=2)
    # Three slots are enough for one trial of two.
    assert spans(result) == {"a": (0, 1), "b": (1, 2)}


def test_limits_end_a_search_where_they_say() -> None:
    def limited(**limits: Any) -> Any:
        return simulate(Script({"a": [9], "b": [9]}), curve=halves, workers=1, limits=Limits(**limits))

    by_time = limited(max_time=4.5)
    assert (by_time.outcome, by_time.time, by_time.units) == ("max_time", 4.5, 4)
    assert [t.outcome for t in by_time.trials] == ["running", "waiting"]
    by_units = limited(max_units=3)
    assert (by_units.outcome, by_units.units) == ("max_units", 3)
    by_trials = limited(max_trials=1)
    assert (by_trials.outcome, by_trials.time) == ("max_trials", 0)
    by_events = limited(max_events=5)
    assert (by_events.outcome, sum(by_events.events.values())) == ("max_events", 5)


def test_a_shutdown_lets_trials_finish_and_a_cancelling_one_does_not() -> None:
    from determined.searcher import Shutdown

    class Impatient(Script):
        def __init__(self, end: Shutdown) -> None:
            super().__init__({"a": [2], "b": [8], "c": [8]})
            self.end = end

        def on_validation_completed(self, *args: Any) -> list[Operation]:
            return [*super().on_validation_completed(*args), self.end]

    calm = simulate(Impatient(Shutdown()), curve=halves, workers=2)
    assert (calm.outcome, calm.time, [t.outcome for t in calm.trials]) == ("completed", 8, ["completed"] * 3)
    assert calm.trials[2].started is None
    harsh = simulate(Impatient(Shutdown(cancel=True)), curve=halves, workers=2)
    assert (harsh.outcome, harsh.time, harsh.units) == ("canceled", 2, 4)
    failed = simulate(Impatient(Shutdown(failure=True)), curve=halves, workers=2)
    assert (failed.outcome, failed.time, failed.message) == (
        "error",
        2,
        "the search method ended the search as failed",
    )
