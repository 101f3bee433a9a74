"""Why an experiment failed, told from its first failed trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from determined.common.api.errors import APIException
from determined.common.api.logs import LogFilter, trial_logs
from determined.common.api.session import Session
from determined.common.terminal import visible, visible_log

LOG_LINES = 40


def explain_failure(session: Session, experiment_id: int) -> str:
    """Text for people: which trial failed, how, and the end of its log. "" when no trial failed."""
    params = {"states": ["STATE_ERROR"], "sortBy": "SORT_BY_ID", "limit": 1}
    answer = session.get(f"/api/v1/experiments/{experiment_id}/trials", params=params)
    if not answer.get("trials"):
        return ""
    return "\n".join(_story(session, answer["trials"][0], int((answer.get("pagination") or {}).get("total", 1))))


def _story(session: Session, trial: Mapping[str, Any], failed: int) -> Iterator[str]:
    trial_id = int(trial["id"])
    others = "" if failed <= 1 else f" (and {failed - 1} more)"
    restarts = f" after {trial['restarts']} restarts" if trial.get("restarts") else ""
    how = ", ".join(_facts(trial))
    yield f"Trial {trial_id} failed{others}{restarts}{': ' + how if how else ''}."
    if trial.get("hparams"):
        yield f"Its hyperparameters: {visible(trial['hparams'])}"
    try:
        lines = [
            visible_log(line["message"]).rstrip("\n")
            for line in trial_logs(session, trial_id, LogFilter(tail=LOG_LINES))
        ]
    except APIException as error:
        yield f"Its log cannot be read: {visible(error)}"
        return
    if lines:
        yield "The end of its log:"
        yield from (f"  {line}" for line in lines)
    else:
        yield "It wrote no log."
    where = f", or read {visible(trial['logPath'])}" if trial.get("logPath") else ""
    yield f"All of it: det trial logs {trial_id}{where}"


def _facts(trial: Mapping[str, Any]) -> Iterator[str]:
    if trial.get("exitCode") is not None:
        yield f"exit code {trial['exitCode']}"
    if trial.get("exitReason"):
        yield visible(trial["exitReason"])
