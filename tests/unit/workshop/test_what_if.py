from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from determined.cli.main import main
from determined.domain.config import parse_config
from determined.domain.search_method import SearchMethod
from determined.errors import InvalidInput
from determined.methods.async_halving import AsyncHalvingSearch
from determined.methods.random import RandomSearch
from determined.methods.registry import make_method
from determined.workshop.recorded_trials import RecordedTrials
from determined.workshop.recording import Recording
from determined.workshop.what_if import what_if
from tests.unit.workshop.recorded_search import DEFAULTS, complete, hosted_search, loss

HALVING = {
    "name": "async_halving",
    "metric": "loss",
    "max_length": {"epochs": 27},
    "max_trials": 40,
    "num_rungs": 4,
    "divisor": 3,
    "max_concurrent_trials": 4,
}
FULL = {"name": "random", "metric": "loss", "max_length": {"epochs": 27}, "max_trials": 20, "max_concurrent_trials": 4}


@pytest.fixture(scope="module")
def recorded() -> Recording:
    """40 trials, most of them short."""
    return hosted_search(HALVING)


@pytest.fixture(scope="module")
def full() -> Recording:
    """20 trials, all trained to the end."""
    return hosted_search(FULL)


def method_of(searcher: Mapping[str, Any], **changes: Any) -> SearchMethod:
    return make_method(parse_config(complete({**searcher, **changes}), DEFAULTS))


def test_the_same_method_over_its_own_trials_makes_nothing_up(recorded: Recording) -> None:
    made = what_if([recorded], lambda: method_of(HALVING), workers=1)
    assert made.account.metrics == made.account.recorded > 40
    assert made.account.invented == 0
    assert made.account.invented_units == 0
    assert made.other.trials == made.recorded.trials == 40
    assert made.other.best[-1].metric == made.recorded.best[-1].metric
    assert made.other.units == made.recorded.units == made.account.units


def test_another_divisor_is_told_recorded_metrics_where_there_are_some(recorded: Recording) -> None:
    made = what_if([recorded], lambda: method_of(HALVING, divisor=2, num_rungs=3), workers=2)
    account = made.account
    lengths = {27 // 4, 27 // 2, 27}
    assert {length for trial in made.result.trials for length in trial.lengths} == lengths
    told = sum(len(trial.lengths) for trial in made.result.trials)
    assert account.metrics == told
    assert account.recorded < told
    assert 0 < account.invented < 1
    assert 0 < account.invented_units < account.units == made.other.units


def test_short_training_of_fully_recorded_trials_is_exact_at_recorded_lengths(full: Recording) -> None:
    made = what_if([full], lambda: RandomSearch(full.config.hyperparameters, 27, 20, max_concurrent_trials=3))
    assert made.account.recorded == made.account.metrics == 20
    assert made.recorded.best[-1].metric == made.other.best[-1].metric
    assert made.recorded.full == made.other.full == 20


def test_several_recordings_are_used_one_after_the_other(recorded: Recording, full: Recording) -> None:
    made = what_if([full, recorded], lambda: RandomSearch(full.config.hyperparameters, 1, 60))
    assert made.recorded.trials == 60
    assert (
        made.recorded.units
        == sum(27 for _ in full.trials()) + what_if([recorded], lambda: method_of(HALVING)).recorded.units
    )
    assert made.account.reused == 0
    # The 20 trials of the first were recorded at the end only, the 40 of the other at length 1.
    assert made.account.recorded == 40
    assert made.account.extrapolated == 20


def test_what_the_numbers_do_not_tell_is_noted(recorded: Recording, full: Recording) -> None:
    fewer = what_if([full, recorded], lambda: RandomSearch(full.config.hyperparameters, 1, 22))
    assert fewer.unused == 38
    assert fewer.notes == ("38 of the 60 recorded trials with a metric were never used: fewer trials were asked for.",)
    assert what_if([full], lambda: RandomSearch(full.config.hyperparameters, 1, 20)).notes == ()


def test_different_search_spaces_are_noted(full: Recording) -> None:
    wide = hosted_search({**FULL, "max_trials": 5}, x={"type": "double", "minval": 0.0, "maxval": 2.0})
    made = what_if([full, wide], lambda: RandomSearch(full.config.hyperparameters, 1, 25))
    [note] = made.notes
    assert note.startswith("The recorded experiment 1 and the recorded experiment 1 have different search spaces")


def test_recorded_trials_without_a_number_are_noted() -> None:
    some = hosted_search(FULL, metric=lambda hparams, length: math.nan if hparams["x"] > 0.5 else None)
    failed = sum(not trial.validations for trial in some.trials())
    made = what_if([some], lambda: RandomSearch(some.config.hyperparameters, 27, 20 - failed))
    assert 0 < failed < 20
    assert made.notes == (
        f"{failed} of the recorded trials reported no number as the searched metric, and stand for none.",
    )


def test_an_experiment_recorded_twice_is_refused_though_one_recording_is_longer(recorded: Recording) -> None:
    earlier = Recording(recorded.header, recorded.rows[:50])
    with pytest.raises(InvalidInput, match="the recorded experiment 1 is named twice"):
        what_if([recorded, earlier], lambda: method_of(HALVING))


def test_the_command_prints_its_notes(recorded: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded.save(tmp_path / "a.detrec")
    args = (str(tmp_path / "a.detrec"), "--args", '{"max_trials": 30}')
    note = "10 of the 40 recorded trials with a metric were never used: fewer trials were asked for."
    assert run(capsys, *args).splitlines()[-1] == note
    told = json.loads(run(capsys, *args, "--json"))
    assert (told["unused"], told["notes"]) == (10, [note])


def test_trials_that_were_not_recorded_stand_for_others_and_count_as_made_up(recorded: Recording) -> None:
    made = what_if([recorded], lambda: RandomSearch(recorded.config.hyperparameters, 1, 50), seed=3)
    assert made.other.trials == 50
    assert made.account.reused == 10
    assert made.account.recorded == 40
    assert made.account.invented_units == 10


@pytest.mark.parametrize(
    ("extrapolate", "expected"), [("hold", 0.4), ("trend", 0.4 + (0.4 - 0.5) * math.log(9 / 3) / math.log(3))]
)
def test_what_a_trial_reports_beyond_its_recording(extrapolate: str, expected: float) -> None:
    from determined.simulator.curves import Curve

    method = RandomSearch(parse_config(complete(FULL), DEFAULTS).hyperparameters, 9, 1)
    trials = RecordedTrials(method, [Curve({"x": 1}, [1, 3], [0.5, 0.4])], extrapolate=extrapolate)
    asked = {"x": 1, "recorded_trial": 0}
    assert trials.metric(asked, 9) == pytest.approx(expected)
    assert trials.metric(asked, 3) == 0.4
    assert trials.metric(asked, 2) == pytest.approx(0.45)
    assert trials.metric(asked, 0.5) == 0.5


def test_extrapolation_can_be_refused(recorded: Recording) -> None:
    make = lambda: RandomSearch(recorded.config.hyperparameters, 27, 40)  # noqa: E731
    with pytest.raises(InvalidInput, match=r"was asked to train to 27, but the recorded one was trained to \d only"):
        what_if([recorded], make, extrapolate="refuse")


def test_experiments_that_measure_different_things_are_not_mixed(recorded: Recording) -> None:
    other = hosted_search({**FULL, "smaller_is_better": False})
    with pytest.raises(InvalidInput, match=r"do not go together: their searcher\.smaller_is_better is True and False"):
        what_if([recorded, other], lambda: method_of(HALVING))


def test_a_recording_without_metrics_gives_nothing_to_go_by() -> None:
    with pytest.raises(InvalidInput, match="nothing to go by"):
        RecordedTrials(method_of(FULL), [])
    with pytest.raises(InvalidInput, match="not 'guess'"):
        RecordedTrials(method_of(FULL), what_curves(), extrapolate="guess")


def what_curves() -> Any:
    return hosted_search(FULL).curves()


def test_bigger_may_be_better() -> None:
    recorded = hosted_search({**HALVING, "smaller_is_better": False})
    made = what_if([recorded], lambda: method_of({**HALVING, "smaller_is_better": False}), workers=1)
    best = max(loss(trial.hparams, length) for trial in made.result.trials for length in trial.lengths)
    assert made.other.best[-1].metric == best


def run(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert main(["e", "what-if", *args]) == 0
    return capsys.readouterr().out


def test_the_command_compares_with_other_arguments(
    recorded: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.detrec"
    recorded.save(file)
    out = run(capsys, str(file), "--args", '{"divisor": 2, "num_rungs": 3}', "--workers", "2")
    assert "AsyncHalvingSearch" in out
    assert "Units to the recorded best" in out
    assert "are made up" in out
    told = json.loads(run(capsys, str(file), "--args", '{"divisor": 2, "num_rungs": 3}', "--workers", "2", "--json"))
    assert told["recorded"]["trials"] == 40
    assert told["workers"] == 2
    assert f"{told['account']['recorded']} are recorded" in out
    assert told["account"]["invented"] == pytest.approx(1 - told["account"]["recorded"] / told["account"]["metrics"])


def test_the_command_takes_any_method_and_draws_both(
    recorded: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.detrec"
    recorded.save(file)
    method = f"{AsyncHalvingSearch.__module__}:AsyncHalvingSearch"
    plot = tmp_path / "both.svg"
    out = run(capsys, str(file), "--method", method, "--args", '{"stop_once": true}', "--plot", str(plot))
    assert method in out
    assert plot.read_text().count("<svg") == 1


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["FILE", "FILE"], "the recorded experiment 1 is named twice; name each experiment once"),
        (["FILE", "--plot", "x.xyz"], "x.xyz: there is no format 'xyz' (allowed: "),
        (["FILE", "--plot", "nowhere/x.png"], "nowhere/x.png: there is no folder nowhere; make it first"),
        (["nowhere.detrec"], "nowhere.detrec"),
        (["FILE", "--method", "nowhere:Method"], "no module"),
        (["FILE", "--args", "{"], "no JSON"),
        (["FILE", "--args", '{"divisors": 2}'], "divisors"),
        (["FILE", "--workers", "0"], "workers=1 or more"),
    ],
)
def test_what_cannot_be_compared_is_told_in_a_sentence(
    args: list[str], told: str, recorded: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.detrec"
    recorded.save(file)
    try:
        code = main(["e", "what-if", *(str(file) if arg == "FILE" else arg for arg in args)])
    except SystemExit as end:
        code = end.code  # type: ignore[assignment]
    assert code not in (0, None)
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error
