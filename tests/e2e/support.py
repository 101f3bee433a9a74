"""What end-to-end tests ask of a master, in words."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from determined.common.api.session import Session
from determined.testing.cluster import LocalMaster
from determined.testing.history import record

SCRIPTS = Path(__file__).parent.parent / "scripts"
MODEL = Path(__file__).parent.parent / "model"
SINGLE = """
name: {name}
entrypoint: python3 train.py
searcher: {{name: {searcher}, metric: validation_loss, max_length: 20{more}}}
hyperparameters: {hparams}
max_restarts: {max_restarts}
"""


def write_config(
    folder: Path,
    name: str = "test",
    searcher: str = "single",
    more: str = "",
    max_restarts: int = 0,
    **hparams: Any,
) -> str:
    """A configuration for tests/model; returns its path."""
    path = folder / f"{name}.yaml"
    text = json.dumps({"x": 0.5, **hparams})
    path.write_text(SINGLE.format(name=name, searcher=searcher, more=more, max_restarts=max_restarts, hparams=text))
    return str(path)


def command_of(method: str, model: Path, searcher_dir: Path) -> list[str]:
    """The command that runs a search of tests/scripts with our runner."""
    return [sys.executable, str(SCRIPTS / "run_search.py"), method, str(model), str(searcher_dir)]


def created(text: str) -> int:
    """The experiment that ``det e create`` made."""
    found = re.search(r"Created experiment (\d+)", text)
    assert found, text
    return int(found[1])


def started_experiment(runner: subprocess.Popen[str]) -> int:
    """The experiment of a local runner, as soon as it says so on its standard error."""
    assert runner.stderr is not None
    told = []
    for line in runner.stderr:
        told.append(line)
        if found := re.search(r"(?:Starting|Resuming) the search of experiment (\d+)", line):
            return int(found[1])
    raise AssertionError("the runner ended before its search began:\n" + "".join(told))


def trials_of(session: Session, experiment_id: int) -> list[dict[str, Any]]:
    """Its trials, by id."""
    answer = session.get(f"/api/v1/experiments/{experiment_id}/trials", params={"limit": -1})
    trials: list[dict[str, Any]] = answer["trials"]
    return trials


def state_of(session: Session, experiment_id: int) -> str:
    """The experiment's state on the wire."""
    state: str = session.get(f"/api/v1/experiments/{experiment_id}")["experiment"]["state"]
    return state


def events_of(master: LocalMaster, experiment_id: int) -> list[dict[str, Any]]:
    """Every event that an experiment ever queued, in order."""
    events: list[dict[str, Any]] = record(master.data, experiment_id).outcome["events"]
    return events


def kinds(events: list[dict[str, Any]]) -> Counter[str]:
    """How many events there are of each kind."""
    return Counter(key for event in events for key in event if key != "id")


def until_over(session: Session, experiment_id: int) -> str:
    """Wait for the end; returns the final state. Woken by the master, not by a clock."""
    last = ""
    for line in session.stream(f"/api/v1/experiments/{experiment_id}/watch", {"follow": True}):
        last = line["result"]["state"]
    return last


def until_running(session: Session, experiment_id: int, trials: int = 1) -> dict[str, Any]:
    """Wait until so many trials run at once."""
    for line in session.stream(f"/api/v1/experiments/{experiment_id}/watch", {"follow": True}):
        summary: dict[str, Any] = line["result"]
        if summary["trials"]["running"] >= trials:
            return summary
    raise AssertionError(f"experiment {experiment_id} ended before {trials} trials ran")


def until_trial(session: Session, experiment_id: int) -> dict[str, Any]:
    """Wait for the first trial."""
    for line in session.stream(f"/api/v1/experiments/{experiment_id}/watch", {"follow": True}):
        if line["result"]["trials"]["total"]:
            return trials_of(session, experiment_id)[0]
    raise AssertionError(f"experiment {experiment_id} ended without a trial")


def until_logged(session: Session, trial_id: int, text: str, times: int = 1) -> None:
    """Wait until a text was written so often into a trial's log."""
    left = times
    for line in session.stream(f"/api/v1/trials/{trial_id}/logs", {"follow": True}):
        left -= text in line["result"]["message"]
        if left == 0:
            return
    raise AssertionError(f"the log of trial {trial_id} ended without {times} times {text!r}")
