"""What end-to-end tests ask of a master, in words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from determined.common.api.session import Session

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


def created(text: str) -> int:
    """The experiment that ``det e create`` made."""
    found = re.search(r"Created experiment (\d+)", text)
    assert found, text
    return int(found[1])


def trials_of(session: Session, experiment_id: int) -> list[dict[str, Any]]:
    """Its trials, by id."""
    answer = session.get(f"/api/v1/experiments/{experiment_id}/trials", params={"limit": -1})
    trials: list[dict[str, Any]] = answer["trials"]
    return trials


def state_of(session: Session, experiment_id: int) -> str:
    """The experiment's state on the wire."""
    state: str = session.get(f"/api/v1/experiments/{experiment_id}")["experiment"]["state"]
    return state


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


def until_logged(session: Session, trial_id: int, text: str) -> str:
    """Wait until a trial's log holds a text; returns the line."""
    for line in session.stream(f"/api/v1/trials/{trial_id}/logs", {"follow": True}):
        message: str = line["result"]["message"]
        if text in message:
            return message
    raise AssertionError(f"the log of trial {trial_id} ended without {text!r}")
