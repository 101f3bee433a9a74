from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from determined.cli.main import main

Capture = pytest.CaptureFixture[str]
SPACE = "hyperparameters: {x: {type: double, minval: 0, maxval: 1}}\nentrypoint: python3 t.py\n"


@pytest.fixture(autouse=True)
def nobody_is_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DET_MASTER", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)


def config(searcher: str, more: str = "") -> str:
    Path("c.yaml").write_text(f"searcher: {{metric: loss, {searcher}}}\n{SPACE}{more}")
    return "c.yaml"


def previewed(capsys: Capture, *words: str) -> Any:
    assert main(["preview-search", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_random_search_trains_each_trial_to_the_end(capsys: Capture) -> None:
    path = config("name: random, max_length: {epochs: 10}, max_trials: 8, max_concurrent_trials: 4")
    assert main(["preview-search", path]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split("   ") == ["Length (epochs)", "Trials that reach it", "Trials that end there"]
    assert shown[2].split() == ["10", "8", "8"]
    assert shown[4:8] == [
        "Search method:  random",
        "Trials:         8",
        "Training:       80 epochs (100.0% of training all to the end)",
        "Time:           that of 20 epochs, with 4 workers (100% in use)",
    ]


def test_a_halving_search_shows_its_rungs_and_what_it_saves(capsys: Capture) -> None:
    path = config("name: async_halving, max_length: {batches: 16}, num_rungs: 3, divisor: 4, max_trials: 64")
    found = previewed(capsys, path)
    assert [rung["length"] for rung in found["rungs"]] == [1, 4, 16]
    assert found["rungs"][0]["validated"] == found["trials"] == 64
    assert sum(rung["ended"] for rung in found["rungs"]) == 64
    assert found["units"] == sum(
        rung["validated"] * step for rung, step in zip(found["rungs"], (1, 3, 12), strict=True)
    )
    assert found["full_units"] == 64 * 16
    assert previewed(capsys, path) == found
    assert previewed(capsys, path, "--seed", "4") != found


def test_the_number_of_workers_follows_from_the_configuration_or_is_given(capsys: Capture) -> None:
    search = "name: random, max_length: 10, max_trials: 8, max_concurrent_trials: 6"
    assert previewed(capsys, config(search))["workers"] == 6
    limited = config(search, "resources: {max_slots: 5, slots_per_trial: 2}\n")
    assert previewed(capsys, limited)["workers"] == 2
    assert previewed(capsys, config(search), "--workers", "1")["time"] == 80
    assert previewed(capsys, config("name: single, max_length: 3"))["workers"] == 1


def test_the_configuration_may_come_from_standard_input(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    text = Path(config("name: grid, max_length: 2")).read_text().replace("maxval: 1", "maxval: 1, count: 5")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert previewed(capsys, "-")["trials"] == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.yaml"], "cannot be read from 'none.yaml'"),
        (["c.yaml", "--workers", "0"], "'0' is no number of workers; use 1 to 100000"),
        (["c.yaml", "--seed", "-1"], "'-1' is no seed; use 0 to 4294967295"),
        (["c.yaml", "--seed", "1" * 5000], "is no seed"),
        (["c.yaml"], "call determined.searcher.simulate(method, config, curve)"),
    ],
)
def test_what_cannot_be_previewed_is_bad_input(words: list[str], message: str, capsys: Capture) -> None:
    config("name: custom")
    assert main(["preview-search", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_broken_configuration_is_reported_with_its_lines(capsys: Capture) -> None:
    assert main(["preview-search", config("name: random, max_length: 0, max_trials: 1")]) == 2
    assert "searcher.max_length (line 1)" in capsys.readouterr().err
