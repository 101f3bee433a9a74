"""``det experiment``."""

from __future__ import annotations

import argparse

from determined.cli.commands import Command
from determined.cli.experiment_create import CREATE
from determined.cli.experiment_describe import describe
from determined.cli.experiment_list import list_checkpoints, list_experiments, list_trials
from determined.cli.experiment_set import LABEL, SET
from determined.cli.experiment_verbs import (
    activate,
    archive,
    cancel,
    config,
    delete,
    download,
    download_model_def,
    kill,
    logs,
    pause,
    unarchive,
    wait,
)
from determined.cli.options import (
    CSV,
    EXPERIMENT,
    EXPERIMENTS,
    JSON,
    QUIET,
    TABLE,
    YES,
    count,
    log_options,
    metric_choice,
    one_of,
    option,
    pages,
)
from determined.cli.recording import COMMANDS as RECORDING
from determined.cli.what_if import WHAT_IF


def _output_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output-dir", default=".", metavar="DIR", help="where to put it (default: here)")


_ALL = option("-a", "--all", action="store_true", help="also archived ones and those of other users")
_PROJECT = option("--show_project", action="store_true", help="also workspace and project")
_BEST = option("--best", type=count, metavar="N", help="the best N only")
_IDS = option("experiment_ids", help="experiment ids, with commas between them")
_METRICS = option("--metrics", action="store_true", help="also the values of metrics")
_OUTDIR = option("--outdir", metavar="DIR", help="write three CSV files there")
_CKPT_DIR = option("-o", "--output-dir", default="checkpoints", metavar="DIR", help="folder of the folders")
_TOP = option("--top-n", type=count, default=1, metavar="N", help="of the best N trials (default: 1)")
_POLL = option("--polling-interval", type=float, default=5, help="has no effect: the master says when it is over")

COMMAND = Command(
    "experiment",
    "searches",
    commands=(
        CREATE,
        Command(
            "list", "list experiments", list_experiments, (_ALL, _PROJECT, pages(), TABLE), ("ls",), is_default=True
        ),
        Command("describe", "show experiments in detail", describe, (_IDS, _METRICS, one_of(CSV, JSON, _OUTDIR))),
        Command("config", "print the configuration", config, (EXPERIMENT, JSON)),
        Command("logs", "print the logs of the first trial", logs, (EXPERIMENT, log_options)),
        Command("wait", "wait for the end; exit code 0 only if it is completed", wait, (EXPERIMENT, _POLL)),
        Command("list-trials", "list trials", list_trials, (EXPERIMENT, pages(), TABLE), ("lt",)),
        Command("list-checkpoints", "list checkpoints", list_checkpoints, (EXPERIMENT, _BEST, TABLE), ("lc",)),
        Command("pause", "let trials save and stop", pause, (EXPERIMENTS,)),
        Command("activate", "go on after a pause", activate, (EXPERIMENTS,)),
        Command("cancel", "end; trials may save first", cancel, (EXPERIMENTS,)),
        Command("kill", "end at once", kill, (EXPERIMENTS,)),
        Command("archive", "hide from lists", archive, (EXPERIMENTS,)),
        Command("unarchive", "show in lists again", unarchive, (EXPERIMENTS,)),
        Command("delete", "delete with everything that belongs to it", delete, (EXPERIMENT, YES)),
        Command(
            "download", "download the best checkpoints", download, (EXPERIMENT, _CKPT_DIR, _TOP, metric_choice, QUIET)
        ),
        Command("download-model-def", "download the model definition", download_model_def, (EXPERIMENT, _output_dir)),
        SET,
        LABEL,
        *RECORDING,
        WHAT_IF,
    ),
)
