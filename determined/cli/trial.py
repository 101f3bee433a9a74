"""``det trial``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from determined.cli import render
from determined.cli.call import Call
from determined.cli.commands import Command
from determined.cli.experiment_list import fetch
from determined.cli.experiment_verbs import print_trial_logs
from determined.cli.options import (
    JSON,
    QUIET,
    TABLE,
    TRIAL,
    log_filter,
    log_options,
    metric_choice,
    number_id,
    one_of,
    option,
    pages,
)
from determined.common.terminal import visible

Json = Mapping[str, Any]


def describe(call: Call) -> None:
    """Show a trial and what it reported."""
    args = call.args
    answer = call.session.get(f"/api/v1/trials/{args.trial_id}")
    workloads = fetch(
        call, f"/api/v1/trials/{args.trial_id}/workloads", "workloads", includeBatchMetrics=bool(args.metrics)
    )
    if args.json:
        render.print_json({**answer, "workloads": workloads})
        return
    t = answer["trial"]
    times = render.time(t.get("startTime")), render.time(t.get("endTime"))
    row = [t["experimentId"], render.state(t), render.hparams(t.get("hparams")), *times]
    render.listing(args, ["Experiment ID", "State", "H-Params", "Started", "Ended"], [row], None)
    print("\nWorkloads:")
    headers = ["# of Batches", "Report Time", "Checkpoint", "Checkpoint UUID", "Checkpoint Metadata"]
    headers += ["Validation Metrics", *(["Workload Metrics"] if args.metrics else [])]
    render.listing(args, headers, [_workload_row(w, args.metrics) for w in workloads], None)


def _workload_row(workload: Json, with_metrics: bool) -> list[Any]:
    training, validation, saved = (workload.get(kind) or {} for kind in ("training", "validation", "checkpoint"))
    one: Json = training or validation or saved
    row = [
        one.get("totalBatches"),
        render.time(one.get("endTime")),
        render.state(saved) if saved else None,
        saved.get("uuid"),
        json.dumps(saved.get("metadata"), indent=4) if saved else None,
        json.dumps(validation.get("metrics"), indent=4) if validation else None,
    ]
    return [*row, json.dumps(training.get("metrics"), indent=4) if training else None] if with_metrics else row


def logs(call: Call) -> None:
    """Print the log of a trial."""
    print_trial_logs(call, call.args.trial_id, log_filter(call.args), call.args.json)


def story(call: Call) -> None:
    """Tell what was asked of a trial, why, and what it did."""
    answer = call.session.get(f"/api/v1/trials/{call.args.trial_id}/story")
    if call.args.json:
        render.print_json(answer)
        return
    for sentence in answer["sentences"]:
        print(visible(sentence))


def cancel(call: Call) -> None:
    """Let trials save and end."""
    for trial_id in call.args.trial_ids:
        call.session.post(f"/api/v1/trials/{trial_id}/cancel")
        print(f"Canceled trial {trial_id}")


def kill(call: Call) -> None:
    """End trials at once."""
    for trial_id in call.args.trial_ids:
        call.session.post(f"/api/v1/trials/{trial_id}/kill")
        print(f"Killed trial {trial_id}")


def download(call: Call) -> None:
    """Download one checkpoint of a trial."""
    from determined.cli.checkpoint import fetch
    from determined.experimental.trial import TrialReference

    args = call.args
    checkpoint = TrialReference(args.trial_id, call.session).select_checkpoint(
        latest=args.latest,
        best=args.best,
        uuid=args.uuid,
        sort_by=args.sort_by,
        smaller_is_better=args.smaller_is_better,
    )
    fetch(checkpoint, args.output_dir, args.quiet)


_WHICH = one_of(
    option("--best", action="store_true", help="the one with the best validation metric"),
    option("--latest", action="store_true", help="the one with the most training"),
    option("--uuid", help="the one of that name"),
    required=True,
)
_TRIALS = option("trial_ids", type=number_id, nargs="+", metavar="trial_id", help="trial ids")
_METRICS = option("--metrics", action="store_true", help="also training metrics, by batch")
_FOLDER = option("-o", "--output-dir", metavar="DIR", help="where to put it (default: checkpoints/UUID)")

COMMAND = Command(
    "trial",
    "trials",
    commands=(
        Command("describe", "show a trial in detail", describe, (TRIAL, _METRICS, TABLE, pages(1000))),
        Command("logs", "print the log", logs, (TRIAL, log_options)),
        Command("story", "tell what was asked of it, why, and what it did", story, (TRIAL, JSON)),
        Command("cancel", "end, after saving", cancel, (_TRIALS,)),
        Command("kill", "end at once", kill, (_TRIALS,)),
        Command("download", "download a checkpoint", download, (TRIAL, _WHICH, _FOLDER, metric_choice, QUIET)),
    ),
)
