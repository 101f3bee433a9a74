"""What a simulation is given, and what a curve gives it."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from determined.errors import InvalidInput
from determined.searcher import RandomSearch, TrialModel, simulate, uniform
from tests.unit.simulator.worlds import Script

SPACE = {"x": uniform(0, 1)}
GIVEN = [
    (np.float32(0.5), 0.5),
    (np.float16(0.5), 0.5),
    (np.float64(0.5), 0.5),
    (np.longdouble(0.5), 0.5),
    (np.int64(3), 3),
    (np.array(0.5), 0.5),
    (np.array([0.5], dtype=np.float32), 0.5),
    (Fraction(1, 2), 0.5),
    (3, 3),
    (10**400, math.inf),
    (-(10**400), -math.inf),
]


@pytest.mark.parametrize(
    ("given", "metric"), GIVEN, ids=[f"{type(given).__name__} {n}" for n, (given, _) in enumerate(GIVEN)]
)
def test_a_curve_may_give_any_kind_of_number(given: Any, metric: float) -> None:
    method = Script({"a": [2]})
    result = simulate(method, curve=lambda hparams, length: given)
    assert result.trials[0].metrics == (metric,)
    assert type(result.trials[0].metrics[0]) is type(metric)
    assert f"a at 2: {metric}" in method.heard
    assert (None if result.best is None else result.best.metric) == (metric if math.isfinite(metric) else None)


@pytest.mark.parametrize("given", [None, True, np.bool_(True), "0.5", {"loss": 1}, 1j, np.array([1.0, 2.0])], ids=repr)
def test_what_is_no_number_is_refused_with_its_place(given: Any) -> None:
    with pytest.raises(InvalidInput, match=r"the curve of {'name': 'a'} gave .* at length 2, which is no metric") as e:
        simulate(Script({"a": [2]}), curve=lambda hparams, length: given)
    assert repr(given) in str(e.value)


def test_what_a_trial_reports_is_made_of_a_plain_number() -> None:
    method = Script({"a": [2]})
    model = TrialModel(completes_with=lambda metric, checkpoint: {"loss": metric})
    simulate(method, curve=lambda hparams, length: np.float32(0.5), trials=model)
    assert "a at 2: {'loss': 0.5}" in method.heard


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": "4"}, r"workers .* a whole number from 0 on, or a list of \(time, workers\) .*, not '4'"),
        ({"workers": 4.0}, "workers .*, not 4.0"),
        ({"workers": True}, "workers .*, not True"),
        ({"workers": [4]}, r"workers .*, not \[4\]"),
        ({"workers": []}, r"workers .*, not \[\]"),
        ({"workers": -1}, "workers of a simulation is a whole number from 0 on, not -1"),
        ({"workers": [(0, "4")]}, "workers of a simulation is a whole number from 0 on, not '4'"),
        ({"workers": [("0", 4)]}, "each time in workers of a simulation is a finite number from 0 on, not '0'"),
        ({"workers": [(5, 1), (2, 1)]}, "ascending times"),
        ({"seed": "x"}, "seed of a simulation is a whole number, not 'x'"),
        ({"seed": np.array(1.5)}, r"seed of a simulation is a whole number, not array\(1\.5\)"),
        ({"seed": 1.5}, "seed of a simulation is a whole number, not 1.5"),
        ({"trials": {"unit_time": 2}}, "trials of a simulation is a TrialModel, not {'unit_time': 2}"),
        ({"limits": 5}, "limits of a simulation is a value of Limits, not 5"),
        ({"max_restarts": "1"}, "max_restarts of a simulation is None or a whole number from 0 on, not '1'"),
        ({"smaller_is_better": "no"}, "smaller_is_better of a simulation is True or False, not 'no'"),
        ({"keep_decisions": 1}, "keep_decisions of a simulation is True or False, not 1"),
        ({"config": 5}, "config of a simulation is a mapping, a path or a parsed configuration, not 5"),
        ({"curve": 5}, "curve of a simulation is a function of hyperparameters and a length, not 5"),
    ],
)
def test_an_argument_that_does_not_fit_is_named_with_what_is_allowed(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        simulate(RandomSearch(SPACE, 4, 4), **{"curve": lambda hparams, length: hparams["x"], **arguments})


def test_whole_numbers_of_numpy_are_as_good() -> None:
    def run(workers: Any, seed: Any) -> Any:
        model = TrialModel(straggler_std=0.5)
        method = RandomSearch(SPACE, 4, 9, seed=seed)
        return simulate(method, curve=lambda hparams, length: hparams["x"], workers=workers, seed=seed, trials=model)

    assert run(np.int64(3), np.int32(7)) == run(3, 7)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("p.xyz", r"p\.xyz: there is no format 'xyz' \(allowed: .*png.*svg"),
        ("nowhere/p.png", "nowhere/p.png: there is no folder .*nowhere; make it first"),
        ("folder.png", "folder.png: Is a directory; name a file"),
    ],
)
def test_a_plot_that_cannot_be_written_says_why(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    result = simulate(Script({"a": [2]}), curve=lambda hparams, length: 1.0)
    with pytest.raises(InvalidInput, match=message):
        result.plot(tmp_path / name)
    assert [p.name for p in tmp_path.rglob("*")] == ["folder.png"]
