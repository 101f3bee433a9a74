"""``det search check``: what it prints, what it writes, and how it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from determined.cli.main import main

Capture = pytest.CaptureFixture[str]
MODULE = """\
from tests.unit.workshop.check.plants import ForgetsToClose
from tests.unit.workshop.check.small_halving import SmallHalving


class Mine(SmallHalving):
    pass


class Forgets(ForgetsToClose):
    pass


number = 3


def make(max_trials=2):
    return Mine(max_trials)


def budgeted(budget=2):
    return Mine(budget)


class Changed(Mine):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
"""
CONFIG = """\
entrypoint: python3 train.py
searcher: {name: async_halving, metric: loss, max_length: {batches: 9}, max_trials: 5, num_rungs: 2, divisor: 3}
hyperparameters: {x: {type: double, minval: 0, maxval: 1}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("DET_DEBUG", raising=False)
    for name in ("my_search", "broken_search"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "my_search.py").write_text(MODULE)
    (tmp_path / "broken_search.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "c.yaml").write_text(CONFIG)
    return tmp_path


def test_a_method_that_passes(folder: Path, capsys: Capture) -> None:
    assert main(["search", "check", "my_search:Mine"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Mine passes: 100 worlds, 1318 events, 1318 reloads, ")
    assert not (folder / "search_check_failure.py").exists()


def test_a_method_that_fails_is_told_and_leaves_a_script(folder: Path, capsys: Capture) -> None:
    assert main(["search", "check", "my_search:Forgets"]) == 1
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith("Forgets: deadlock\n  1. initial_operations -> Create(a, x=0.3238)")
    assert captured.out.endswith("To see it again: python search_check_failure.py\n")
    done = subprocess.run(
        [sys.executable, "search_check_failure.py"],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert done.returncode == 1
    assert "CheckFailed" in done.stderr


def test_json_holds_the_whole_finding(folder: Path, capsys: Capture) -> None:
    assert main(["search", "check", "my_search:Forgets", "--json", "--write", "again.py"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["method"], found["fault"], found["title"]) == (False, "Forgets", "DEADLOCK", "deadlock")
    assert found["story"][1] == {"event": "trials a and b start", "operations": []}
    assert found["file"] == "again.py"
    assert (folder / "again.py").exists()


def test_json_of_a_method_that_passes(capsys: Capture) -> None:
    words = ["search", "check", "my_search:make", "--args", '{"max_trials": 3}', "--json", "--examples", "5"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["method"], found["worlds"]) == (True, "make", 5)
    assert found["cost"][0] > 0


def test_a_configuration_names_a_built_in_method(capsys: Capture) -> None:
    assert main(["search", "check", "--config", "c.yaml", "--examples", "10", "--cost", "false"]) == 0
    assert capsys.readouterr().out.startswith("async_halving passes: 10 worlds, ")


def test_the_argument_that_says_how_many_trials_may_be_named(capsys: Capture) -> None:
    words = ["search", "check", "my_search:budgeted", "--examples", "1"]
    assert main(words) == 0
    assert "name the one that says how many trials with --sized NAME\n" in capsys.readouterr().out
    assert main([*words, "--sized", "budget", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cost"][0] > 0


def test_the_cost_of_a_class_that_hands_on_its_arguments_is_measured(capsys: Capture) -> None:
    words = ["search", "check", "my_search:Changed", "--args", '{"max_trials": 3}', "--examples", "1", "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["cost"][0] > 0


def test_limits_and_seeds_are_passed_on(capsys: Capture) -> None:
    words = ["search", "check", "my_search:Mine", "--seed", "3", "--cost", "no"]
    assert main([*words, "--max-trials", "2"]) == 1
    assert "but max_trials is 2" in capsys.readouterr().out
    assert main([*words, "--max-length", "1"]) == 1
    assert main([*words, "--max-units", "1"]) == 1
    assert main([*words, "--metric", '{"loss": "METRIC"}']) == 1


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["nowhere:Mine"], "there is no module 'nowhere'"),
        (["my_search:Mime"], "has no 'Mime'"),
        (["my_search:number"], "makes no search method"),
        (["my_search"], "names no search method; write module:Class"),
        (["broken_search:X"], "No module named 'nothing_of_this_name'"),
        (["my_search:Mine", "--args", "{"], "--args is no JSON"),
        (["my_search:Mine", "--args", "[]"], "--args must be a JSON object"),
        (["my_search:Mine", "--args", '{"trials": 3}'], "cannot be called with trials"),
        (["my_search:Mine", "--sized", "trials"], "has no argument of this name (it has: max_trials, concurrent)"),
        (["my_search:Mine", "--metric", "3"], "has no place for a number"),
        (["my_search:Mine", "--metric", "{"], "is no JSON"),
        (["my_search:Mine", "--examples", "many"], "'many' is no number of things"),
        (["my_search:Mine", "--config", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["--config", "my_search.py"], "invalid experiment configuration"),
        ([], "name a search method"),
        (["my_search:Forgets", "--write", "nowhere/again.py"], "cannot be written"),
    ],
)
def test_bad_input_is_refused_in_one_message(words: list[str], text: str, capsys: Capture) -> None:
    assert main(["search", "check", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Error: ")
    assert text in captured.err
    assert "Traceback" not in captured.err


def test_nothing_is_left_behind(folder: Path) -> None:
    temporary = folder / "temporary"
    temporary.mkdir()
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-m", "determined.cli", "search", "check", "my_search:Mine"],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("Mine passes: "), done.stderr
    assert list(temporary.iterdir()) == []
