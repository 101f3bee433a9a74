from __future__ import annotations

import gc
import subprocess
import sys
import uuid
import weakref
from pathlib import Path
from typing import Any

import pytest

from determined.domain.config import ConfigDefaults, parse_config
from determined.domain.hparams import Double, Space
from determined.errors import InvalidConfig, InvalidInput
from determined.methods.random import RandomSearch
from determined.searcher import Close, Create, Shutdown, SimulationResult, TrialModel, simulate
from determined.simulator import frames
from tests.unit.simulator.worlds import Script, halves, name_of, rid

SPACE = {"x": {"type": "double", "minval": 0, "maxval": 1}}
CONFIG = {
    "searcher": {"name": "random", "metric": "acc", "smaller_is_better": False, "max_length": 4, "max_trials": 6},
    "hyperparameters": SPACE,
}


def example() -> SimulationResult:
    return simulate(Script({"b": [2, 4], "a": [4]}), curve=halves, workers=1)


def test_the_best_metric_is_known_at_any_time_and_cost() -> None:
    result = example()
    assert [(b.time, b.units, b.metric, name_of(b.request_id), b.length) for b in result.best_so_far] == [
        (2, 2, 1.5, "b", 2),
        (4, 4, 1.25, "b", 4),
        (8, 8, 0.25, "a", 4),
    ]
    assert [result.best_at(time=t) for t in (1.9, 2, 5, 100)] == [None, 1.5, 1.25, 0.25]
    assert [result.best_at(units=u) for u in (0, 2, 7, 8)] == [None, 1.5, 1.25, 0.25]
    assert result.best_trial is result.trials[1]
    with pytest.raises(ValueError, match="either"):
        result.best_at()


def test_greater_metrics_are_better_when_the_configuration_says_so() -> None:
    result = simulate(config=CONFIG, curve=lambda hparams, length: hparams["x"])
    assert result.best is not None
    assert result.best.metric == max(trial.last for trial in result.trials)
    opposite = simulate(config=CONFIG, curve=lambda hparams, length: hparams["x"], smaller_is_better=True)
    assert opposite.best is not None
    assert opposite.best.metric == min(trial.last for trial in opposite.trials)


def test_a_built_in_method_comes_from_a_configuration_in_any_form(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "entrypoint: x\nsearcher: {name: random, metric: acc, smaller_is_better: false, max_length: 4, max_trials: 6}\n"
        "hyperparameters: {x: {type: double, minval: 0, maxval: 1}}\n"
    )
    storage = {"type": "shared_fs", "host_path": "/c"}
    parsed = parse_config(path.read_text(), ConfigDefaults(storage, name="n", seed=3))
    results = [simulate(config=c, curve=lambda h, n: h["x"], seed=3) for c in (CONFIG, path, str(path), parsed)]
    assert all(result == results[0] for result in results)
    assert results[0].trials_by_length() == {4: 6}


def test_a_configuration_that_cannot_be_simulated_says_why(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="custom search method, which lives elsewhere"):
        simulate(config={"searcher": {"name": "custom", "metric": "loss"}}, curve=halves)
    with pytest.raises(InvalidConfig, match=r"searcher\.max_trials"):
        simulate(config={"searcher": {"name": "random", "metric": "loss", "max_length": 1}}, curve=halves)
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        simulate(config=tmp_path / "none.yaml", curve=halves)


def test_events_and_operations_are_counted_by_kind() -> None:
    result = example()
    assert result.events == {
        "InitialOperations": 1,
        "TrialCreated": 2,
        "TrialProgress": 8,
        "ValidationCompleted": 3,
        "TrialClosed": 2,
    }
    # Everything but the start of the search and of trials is answered with the progress of the search.
    assert result.operations == {"Create": 2, "ValidateAfter": 3, "Close": 2, "Shutdown": 1, "Progress": 8 + 3 + 2}
    assert result.progress == 1.0


def test_decisions_are_kept_in_order_with_their_reasons() -> None:
    result = example()
    closing = [d for d in result.decisions if isinstance(d.operation, Close)]
    assert [(d.time, d.reason) for d in closing] == [(4, "done"), (8, "done")]
    assert result.decisions[0].operation == Create(rid("b"), {"name": "b"})
    assert isinstance(result.decisions[-1].operation, Shutdown)
    assert [d.event_id for d in result.decisions] == sorted(d.event_id for d in result.decisions)
    assert simulate(Script({"a": [1]}), curve=halves, keep_decisions=False).decisions == ()


def test_a_frame_has_a_line_for_each_trial() -> None:
    frame = example().to_frame()
    assert list(frame["hparams.name"]) == ["b", "a"]
    assert list(frame["ended"]) == [4, 8]
    assert list(frame["length"]) == [4, 4]
    assert list(frame["last"]) == [1.25, 0.25]
    assert uuid.UUID(frame["request_id"][1]) == rid("a")


def test_a_plot_shows_the_best_metric_and_is_saved(tmp_path: Path) -> None:
    figure = example().plot(tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    by_time, by_units, by_length = figure.axes
    assert list(by_time.lines[0].get_ydata()) == [1.5, 1.25, 0.25, 0.25]
    assert list(by_units.lines[0].get_xdata()) == [2, 4, 8, 8]
    assert [bar.get_height() for bar in by_length.patches] == [1, 2]


def test_nothing_found_can_be_shown_too() -> None:
    result = simulate(Script({"a": [1]}), curve=lambda hparams, length: float("nan"))
    assert (result.best, result.best_trial, result.trials[0].best) == (None, None, None)
    assert "best          none" in result.summary().splitlines()
    assert result.plot().axes[0].lines == [] or len(result.plot().axes[0].lines) == 0


def test_a_summary_tells_it_in_a_few_lines() -> None:
    assert example().summary().splitlines()[:5] == [
        "outcome       completed",
        'best          0.25 at length 4, time 8: trial 2 {"name": "a"}',
        "trials        2 (completed 2)",
        "by length     2: 1, 4: 2",
        "units         8",
    ]


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(frames.MissingExtra, match=r"pandas.*pip install 'determined-search\[workshop\]'"):
        example().to_frame()


def test_the_simulator_is_loaded_without_numpy_pandas_or_matplotlib() -> None:
    code = (
        "import sys, determined.searcher as s; before = 'determined.simulator' in sys.modules; s.simulate;"
        "print(before, sorted({'numpy', 'pandas', 'matplotlib', 'pyarrow', 'optuna'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False []\n"


def test_a_built_in_method_is_ended_when_its_trials_are_over() -> None:
    method = RandomSearch(Space.of({"x": Double(0, 1)}), 5, 7, max_concurrent_trials=3)
    result = simulate(method, curve=lambda hparams, length: hparams["x"], workers=2)
    assert (result.outcome, len(result.trials), result.units) == ("completed", 7, 35)


def test_the_searcher_state_is_what_a_runner_would_have() -> None:
    states: list[tuple[int, int | None, float | None]] = []

    class Curious(Script):
        def on_trial_closed(self, state: Any, request_id: uuid.UUID) -> Any:
            states.append((state.last_event_id, state.experiment_id, state.trial_progress[request_id]))
            return super().on_trial_closed(state, request_id)

    simulate(Curious({"a": [2]}), curve=halves, trials=TrialModel(report_every=None))
    # Initial operations, created, progress, validation; while it hears of the end, those are handled.
    assert states == [(4, 1, 2.0)]


def test_a_trial_of_a_result_shows_what_is_told_of_it_and_nothing_else() -> None:
    assert repr(example().trials[1]).startswith("SimulatedTrial(trial_id=2, request_id=")
    assert repr(example().trials[1]).endswith("worker_time=4.0, restarts=0, losses=0, outcome='completed')")


def test_a_simulation_leaves_the_collector_as_it_was_and_collects_young_cycles_meanwhile() -> None:
    class Cycle:
        def __init__(self) -> None:
            self.me = self

    alive: list[weakref.ref[Cycle]] = []

    def curve(hparams: Any, length: float) -> float:
        alive.append(weakref.ref(Cycle()))
        if len(alive) > 3000:
            raise RuntimeError("enough")
        return 1.0

    before = gc.get_threshold()
    simulate(Script({"a": [1]}), curve=halves)
    assert gc.get_threshold() == before
    with pytest.raises(RuntimeError, match="enough"):
        simulate(Script({"a": list(range(1, 5000))}), curve=curve)
    assert gc.get_threshold() == before
    assert alive[0]() is None
