"""``det experiment``: things done to one that exists."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

from determined.cli import render
from determined.cli.call import Call, yes_or_no
from determined.cli.commands import CliError
from determined.cli.options import log_filter
from determined.common.api.logs import LogFilter, trial_logs
from determined.common.terminal import visible

FINAL = "COMPLETED"


def path_of(call: Call, experiment_id: int | None = None) -> str:
    """Of the experiment that the arguments name."""
    return f"/api/v1/experiments/{call.args.experiment_id if experiment_id is None else experiment_id}"


def activate(call: Call) -> None:
    """Let paused experiments go on."""
    _each(call, "activate", "Activated")


def pause(call: Call) -> None:
    """Pause experiments."""
    _each(call, "pause", "Paused")


def cancel(call: Call) -> None:
    """Cancel experiments."""
    _each(call, "cancel", "Canceled", to_end=True)


def kill(call: Call) -> None:
    """Kill experiments."""
    _each(call, "kill", "Killed", to_end=True)


def archive(call: Call) -> None:
    """Archive experiments."""
    _each(call, "archive", "Archived")


def unarchive(call: Call) -> None:
    """Unarchive experiments."""
    _each(call, "unarchive", "Unarchived")


def _each(call: Call, verb: str, done: str, *, to_end: bool = False) -> None:
    from determined.experimental.watch import is_terminal

    for experiment_id in call.args.experiment_ids:
        path = path_of(call, experiment_id)
        if to_end:
            state = render.state(call.session.get(path)["experiment"])
            if is_terminal(state):
                print(f"Experiment {experiment_id} is {state} already: there is nothing to {verb}")
                continue
        call.session.post(f"{path}/{verb}")
        print(f"{done} experiment {experiment_id}")


def delete(call: Call) -> None:
    """Delete an experiment."""
    question = (
        "This deletes its logs, checkpoints and metrics for good; `det experiment archive` only hides it. Delete?"
    )
    if not call.args.yes and not yes_or_no(question):
        print("Nothing was deleted.")
        return
    call.session.delete(path_of(call))
    print(f"Deletion of experiment {call.args.experiment_id} is in progress")


def config(call: Call) -> None:
    """Print the complete configuration."""
    render.print_document(call.args, call.session.get(path_of(call))["experiment"]["config"])


def download_model_def(call: Call) -> None:
    """Save the model definition."""
    packed = base64.b64decode(call.session.get(f"{path_of(call)}/model_def")["b64Tgz"])
    target = Path(call.args.output_dir, f"experiment_{call.args.experiment_id}_model_def.tgz")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(packed)
    print(f"Wrote {visible(target)}")


def download(call: Call) -> None:
    """Download the checkpoints of the best trials."""
    from determined.cli.checkpoint import fetch
    from determined.experimental.experiment import ExperimentReference

    experiment = ExperimentReference(call.args.experiment_id, call.session)
    for checkpoint in experiment.top_n_checkpoints(call.args.top_n, call.args.sort_by, call.args.smaller_is_better):
        fetch(checkpoint, Path(call.args.output_dir, checkpoint.uuid), call.args.quiet)


def logs(call: Call) -> None:
    """Print the logs of the trial with the lowest id."""
    first = first_trial(call, call.args.experiment_id)
    if first is None:
        raise CliError(f"experiment {call.args.experiment_id} has no trial yet; try again when one has started")
    print_trial_logs(call, first, log_filter(call.args), call.args.json)


def first_trial(call: Call, experiment_id: int) -> int | None:
    """Lowest trial id of an experiment, or None."""
    params = {"limit": 1, "sortBy": "SORT_BY_ID", "orderBy": "ORDER_BY_ASC"}
    trials: list[dict[str, Any]] = call.session.get(f"{path_of(call, experiment_id)}/trials", params=params)["trials"]
    return int(trials[0]["id"]) if trials else None


def print_trial_logs(call: Call, trial_id: int, wanted: LogFilter, as_json: bool = False) -> None:
    """Print logs of a trial, and how to read them again."""
    try:
        render.print_logs(trial_logs(call.session, trial_id, wanted), as_json)
    finally:
        print(f"Trial log stream ended. To reopen log stream, run: det trial logs -f {trial_id}", file=sys.stderr)


def wait(call: Call) -> int:
    """Show an experiment until it is over."""
    from determined.experimental.progress import follow_experiment

    state = follow_experiment(call.session, call.args.experiment_id, stop_when_paused=True)
    if state == "PAUSED":
        raise CliError(
            f"experiment {call.args.experiment_id} is paused; `det experiment activate {call.args.experiment_id}` first"
        )
    return 0 if state == FINAL else 1
