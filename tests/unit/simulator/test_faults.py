from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

import pytest

from determined.errors import InvalidInput
from determined.searcher import (
    Close,
    Create,
    Failure,
    Operation,
    Shutdown,
    Stalled,
    TrialModel,
    ValidateAfter,
    simulate,
)
from tests.unit.simulator.worlds import Script, halves, rid, spans


def failing_once(kind: str, after: float) -> Any:
    """A plan of failures: the first time that a length of 4 is asked for."""
    left = [Failure(kind, after)]
    return lambda hparams, length: left.pop() if left and length == 4 else None


def test_a_lost_run_is_queued_again_and_goes_on_from_its_checkpoint() -> None:
    model = TrialModel(failure=failing_once("lost", 0.5), start_time=1)
    result = simulate(Script({"a": [2, 4]}), curve=halves, trials=model)
    # Start 0-1, two units 1-3, one of the next two 3-4, lost; start 4-5, two units 5-7.
    [trial] = result.trials
    assert (result.time, result.units, trial.losses, trial.restarts, trial.outcome) == (7, 5, 1, 0, "completed")


def test_a_lost_run_begins_again_when_nothing_was_saved() -> None:
    model = TrialModel(failure=failing_once("lost", 0.5), from_scratch=True)
    result = simulate(Script({"a": [2, 4]}), curve=halves, trials=model)
    assert (result.time, result.units) == (2 + 2 + 4, 8)


def test_checkpoints_in_between_save_work() -> None:
    model = TrialModel(failure=failing_once("errored", 0.875), checkpoint_every=2)
    result = simulate(Script({"a": [4]}), curve=halves, trials=model)
    # It fails after 3.5 units and goes on from 2.
    assert (result.time, result.units, result.trials[0].restarts) == (5.5, 5.5, 1)


@pytest.mark.parametrize(
    ("kind", "outcome", "reason"),
    [
        ("errored", "errored", "ERRORED"),
        ("invalid_hp", "invalid_hp", "INVALID_HP"),
        ("stopped", "stopped", "USER_CANCELED"),
    ],
)
def test_each_way_to_fail_reaches_the_method(kind: str, outcome: str, reason: str) -> None:
    method = Script({"a": [2, 4]})
    model = TrialModel(failure=lambda hparams, length: kind if length == 4 else None)
    result = simulate(method, curve=halves, trials=model, max_restarts=0)
    assert method.heard == ["created a", "a at 2: 0.5", f"a {reason}", "closed a"]
    assert (result.trials[0].outcome, result.trials[0].ended) == (outcome, 2)


@pytest.mark.parametrize("limit", [0, 3])
def test_a_trial_fails_for_good_after_its_last_restart(limit: int) -> None:
    model = TrialModel(failure=lambda hparams, length: "errored", start_time=1)
    config = {"searcher": {"name": "custom", "metric": "loss"}, "max_restarts": limit}
    result = simulate(Script({"a": [2]}), config, halves, trials=model)
    assert (result.trials[0].restarts, result.trials[0].outcome, result.time) == (limit + 1, "errored", limit + 1)


def test_stragglers_take_longer_by_the_size_of_a_normal_draw() -> None:
    rng = random.Random(5)
    slower = [1 + abs(rng.gauss(0, 0.5)) for _ in range(2)]
    result = simulate(Script({"a": [10, 30]}), curve=halves, trials=TrialModel(straggler_std=0.5), seed=5)
    assert result.time == pytest.approx(10 * slower[0] + 20 * slower[1])


def test_drops_come_as_often_as_their_probability_says() -> None:
    model = TrialModel(drop_probability=0.01, report_every=None)
    result = simulate(Script({f"{n:04}": [50] for n in range(2000)}), curve=lambda h, n: 0.0, workers=50, trials=model)
    lost = sum(trial.losses for trial in result.trials)
    # A job of 50 units survives with 0.99 ** 50, and is tried until it does.
    expected = 2000 * (0.99**-50 - 1)
    assert abs(lost - expected) < 4 * math.sqrt(2000 * (1 - 0.99**50)) / 0.99**50
    assert all(trial.outcome == "completed" for trial in result.trials)


def test_errors_and_invalid_hyperparameters_come_by_chance_too() -> None:
    script = {f"{n:04}": [2] for n in range(500)}
    invalid = simulate(Script(script), curve=lambda h, n: 0.0, trials=TrialModel(invalid_probability=0.2), seed=1)
    assert 60 < sum(trial.outcome == "invalid_hp" for trial in invalid.trials) < 140
    errors = simulate(Script(script), curve=lambda h, n: 0.0, trials=TrialModel(error_probability=0.2), max_restarts=0)
    assert 120 < sum(trial.outcome == "errored" for trial in errors.trials) < 240


def test_the_same_seed_gives_the_same_run_and_another_one_another() -> None:
    model = TrialModel(straggler_std=0.5, drop_probability=0.05, error_probability=0.01)

    def run(seed: int) -> Any:
        return simulate(Script({n: [3, 9] for n in "abcdefgh"}), curve=halves, workers=3, trials=model, seed=seed)

    random.seed(1)
    first = run(7)
    random.seed(2)
    assert run(7) == first
    assert run(8).time != first.time


def test_a_trial_that_is_asked_for_something_else_while_it_trains_fails_once_and_obeys() -> None:
    class Fickle(Script):
        def on_trial_created(self, *args: Any) -> list[Operation]:
            return [ValidateAfter(rid("a"), 6)] if args[1] == rid("b") else []

    result = simulate(Fickle({"a": [4], "b": [1]}), curve=halves, workers=2)
    # Both start at once; a is told to train to 6 after it has taken up 4, and saved nothing when that is refused.
    assert spans(result)["b"] == (0, 1)
    assert result.trials[0].lengths == (6,)


def test_a_stall_names_those_who_wait_for_an_answer() -> None:
    with pytest.raises(Stalled, match=r"completed what was asked for.* neither returned ValidateAfter nor Close") as e:
        simulate(Script({"a": [2], "b": [3]}, closes=False), curve=halves)
    assert str(rid("a")) in str(e.value)
    assert "2 trials" in str(e.value)
    assert (e.value.result.outcome, e.value.result.time) == ("stalled", 3)


def test_a_stall_without_trials_names_the_missing_shutdown() -> None:
    class Forgetful(Script):
        def on_trial_closed(self, *args: Any) -> list[Operation]:
            return []

    with pytest.raises(Stalled, match="all 1 trials are over, and the search method has not returned"):
        simulate(Forgetful({"a": [1]}), curve=halves)
    with pytest.raises(Stalled, match="no trial was ever created"):
        simulate(Script({}), curve=halves)


def test_a_stall_for_want_of_workers_says_so() -> None:
    result = simulate(Script({"a": [5]}), curve=halves, workers=[(0, 1), (3, 0)], raise_when_stalled=False)
    assert result.outcome == "stalled"
    assert "wait for 1 slot" in result.message
    assert (result.units, result.trials[0].ended) == (3, None)


def test_metrics_that_are_no_numbers_reach_the_method_and_are_never_the_best() -> None:
    method = Script({"a": [1, 2], "b": [1]})
    told: Mapping[Any, Any] = {("a", 1): math.nan, ("a", 2): math.inf, ("b", 1): 4.0}
    model = TrialModel(completes_with=lambda metric, checkpoint: metric if metric == 4 else {"loss": metric})
    result = simulate(method, curve=lambda hparams, length: told[hparams["name"], length], trials=model)
    assert method.heard[2:4] == ["a at 1: {'loss': nan}", "b at 1: 4.0"]
    assert [(b.metric, b.length) for b in result.best_so_far] == [(4.0, 1)]


def test_a_trial_that_starts_from_a_checkpoint_goes_on_where_that_one_was() -> None:
    class Child(Script):
        def on_validation_completed(self, state: Any, request_id: Any, metric: Any, train_length: int) -> Any:
            if request_id == rid("a"):
                child = [
                    Create(rid("b"), {"name": "a"}, metric["checkpoint"]),
                    ValidateAfter(rid("b"), 5),
                    Close(rid("b")),
                ]
                return [Close(rid("a")), *child]
            assert metric["loss"] == 1 / 5
            return []

        def on_trial_closed(self, state: Any, request_id: Any) -> Any:
            return [Shutdown()] if request_id == rid("b") else []

    model = TrialModel(completes_with=lambda metric, checkpoint: {"loss": metric, "checkpoint": checkpoint})
    result = simulate(Child({"a": [3]}), curve=lambda hparams, length: 1 / length, trials=model)
    assert [t.metrics for t in result.trials] == [(1 / 3,), (1 / 5,)]
    assert result.units == 5


@pytest.mark.parametrize(
    "values",
    [{"unit_time": 0}, {"drop_probability": 1}, {"start_time": -1}, {"report_every": 0}, {"straggler_std": math.nan},
     {"unit_time": "1"}, {"invalid_probability": 2}, {"checkpoint_every": 1.5}],
)  # fmt: skip
def test_a_model_out_of_range_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=f"{next(iter(values))} of a simulation is"):
        TrialModel(**values)


def test_other_arguments_out_of_range_are_refused() -> None:
    script = Script({"a": [1]})
    for workers in (-1, 1.5, [], [(2, 1), (1, 1)], [(0, True)]):
        with pytest.raises(InvalidInput, match="workers"):
            simulate(script, curve=halves, workers=workers)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=r"either curve=\.\.\. or table"):
        simulate(script)
    with pytest.raises(InvalidInput, match="a search method, or the configuration"):
        simulate(curve=halves)
    with pytest.raises(InvalidInput, match="subclass of SearchMethod, not"):
        simulate(Script, curve=halves)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="cannot fail as 'burned'"):
        Failure("burned")
    with pytest.raises(InvalidInput, match="share from 0 to 1"):
        Failure("lost", 2)
