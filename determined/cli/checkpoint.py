"""``det checkpoint``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from determined.cli import render
from determined.cli.call import Call, yes_or_no
from determined.cli.commands import Command
from determined.cli.options import JSON, QUIET, YES, option
from determined.cli.transfer import progress
from determined.common.api.session import segment
from determined.common.terminal import visible

if TYPE_CHECKING:
    from determined.experimental.checkpoint import Checkpoint
    from determined.experimental.download import DownloadMode


def describe(call: Call) -> None:
    """Show what is known of a checkpoint."""
    from determined.experimental.checkpoint import Checkpoint

    answer = call.session.get(f"/api/v1/checkpoints/{segment(call.args.uuid)}")
    if call.args.json:
        render.print_json(answer)
        return
    _show_facts(Checkpoint.from_json(answer["checkpoint"], call.session))


def download(call: Call) -> None:
    """Download the files of a checkpoint."""
    from determined.experimental.checkpoint import get_checkpoint
    from determined.experimental.download import DownloadMode

    checkpoint = get_checkpoint(call.session, call.args.uuid)
    fetch(checkpoint, call.args.output_dir, call.args.quiet, DownloadMode(call.args.mode))


def delete(call: Call) -> None:
    """Delete checkpoints."""
    uuids = [uuid for text in call.args.uuids for uuid in text.split(",") if uuid]
    if not call.args.yes and not yes_or_no(f"This deletes the files of {len(uuids)} checkpoint(s) for good. Delete?"):
        print("Nothing was deleted.")
        return
    call.session.delete("/api/v1/checkpoints", json={"checkpointUuids": uuids})
    print(f"Deletion of checkpoints {visible(','.join(uuids))} is in progress")


def fetch(checkpoint: Checkpoint, folder: str | Path | None, quiet: bool, mode: DownloadMode | None = None) -> None:
    """Download a checkpoint while showing how far that is, and say where it is."""
    from determined.experimental.download import DownloadMode

    with progress(quiet) as tell:
        path = checkpoint.download(folder, mode or DownloadMode.AUTO, progress=tell)
    show(checkpoint, path, quiet)


def show(checkpoint: Checkpoint, path: str, quiet: bool) -> None:
    """Say where a downloaded checkpoint is, and unless ``quiet`` what it is."""
    if quiet:
        print(path)
        return
    print(f"Local checkpoint path:\n{visible(path)}\n")
    _show_facts(checkpoint)


def _show_facts(checkpoint: Checkpoint) -> None:
    training = checkpoint.training
    facts = {
        "Experiment ID": training.experiment_id if training else None,
        "Trial ID": training.trial_id if training else None,
        "Steps Completed": checkpoint.metadata.get("steps_completed"),
        "Report Time": render.time(checkpoint.report_time),
        "Checkpoint UUID": checkpoint.uuid,
        "Validation Metrics": json.dumps(training.validation_metrics, indent=4) if training else None,
        "Metadata": json.dumps(checkpoint.metadata, indent=4),
    }
    render.table(list(facts), [list(facts.values())])


def _mode(parser: argparse.ArgumentParser) -> None:
    # The names of DownloadMode, which is not worth loading for a parser.
    parser.add_argument(
        "--mode",
        choices=("direct", "master", "auto"),
        default="auto",
        help="from the storage, through the master, or whichever works (default)",
    )


_UUID = option("uuid", help="checkpoint uuid")
_UUIDS = option("uuids", nargs="+", metavar="uuid", help="checkpoint uuids, with commas or spaces between them")
_FOLDER = option("-o", "--output-dir", metavar="DIR", help="where to put it (default: checkpoints/UUID)")

COMMAND = Command(
    "checkpoint",
    "checkpoints",
    commands=(
        Command("describe", "show a checkpoint in detail", describe, (_UUID, JSON)),
        Command("download", "download the files", download, (_UUID, _FOLDER, _mode, QUIET)),
        Command("delete", "delete the files", delete, (_UUIDS, YES)),
    ),
)
