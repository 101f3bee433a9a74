"""``det experiment create``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from determined.cli.call import Call
from determined.cli.commands import Command
from determined.cli.experiment_verbs import FINAL, print_trial_logs
from determined.common.api.logs import LogFilter
from determined.errors import InvalidConfig, Problem
from determined.experimental.create import GitState, Submission, checked_text, dump_yaml, model_files, submit


def create(call: Call) -> int:
    """Create an experiment, and perhaps follow it."""
    args = call.args
    raw = _read_config(args.config_file)
    submission = Submission(
        _config_text(raw, args.config),
        model_files(args.model_def, args.include),
        activate=not args.paused,
        project_id=args.project_id,
        git=_git_state(args.model_def) if args.git else None,
    )
    if args.test_mode:
        return _test(call, submission)
    experiment_id = _created(submit(call.session, submission))
    print(f"Created experiment {experiment_id}", flush=True)
    return _follow_first_trial(call, experiment_id) if args.follow_first_trial else 0


def _read_config(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except (OSError, ValueError) as error:
        raise InvalidConfig([Problem("", f"cannot be read from {name!r}: {error}")]) from error


def _config_text(raw: bytes, overrides: list[str]) -> str:
    # The text goes to the master as it was written, comments and all, unless it has to be changed.
    if not overrides:
        return checked_text(raw)
    from determined.domain.config import with_overrides

    return dump_yaml(with_overrides(raw, overrides))


def _created(answer: dict[str, Any]) -> int:
    return int(answer["experiment"]["id"])


def _git_state(model_def: str) -> GitState:
    from determined.cli.git_state import read_git_state

    return read_git_state(Path(model_def))


def _test(call: Call, submission: Submission) -> int:
    """Check everything, then run one batch of one point."""
    from determined.domain.config import minimal_for_test_mode, with_overrides

    submit(call.session, replace(submission, validate_only=True))
    print("The configuration is valid.", flush=True)
    short = minimal_for_test_mode(with_overrides(submission.config, []))
    experiment_id = _created(submit(call.session, replace(submission, config=dump_yaml(short))))
    print(f"Created test experiment {experiment_id}", flush=True)
    state = _follow(call, experiment_id)
    print(f"Test experiment {experiment_id} ended as {state}.")
    return 0 if state == FINAL else 1


def _follow_first_trial(call: Call, experiment_id: int) -> int:
    """Show the log of the first trial, then the rest of the search."""
    from determined.experimental.experiment import ExperimentReference

    print("Waiting for first trial to begin...", flush=True)
    trial = ExperimentReference(experiment_id, call.session).await_first_trial()
    print(f"Following first trial with ID {trial.id}", flush=True)
    print_trial_logs(call, trial.id, LogFilter(follow=True))
    state = _follow(call, experiment_id)
    return 0 if state in (FINAL, "PAUSED") else 1


def _follow(call: Call, experiment_id: int) -> str:
    from determined.experimental.progress import follow_experiment

    return follow_experiment(call.session, experiment_id, stop_when_paused=True)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config_file", metavar="CONFIG", help="configuration file (.yaml), or - for standard input")
    parser.add_argument("model_def", metavar="DIR", help="folder or file with the model definition")
    parser.add_argument(
        "-i", "--include", metavar="PATH", action="append", default=[], help="send this along too; repeatable"
    )
    parser.add_argument(
        "--config",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change the configuration, as in searcher.max_length.batches=100; repeatable",
    )
    parser.add_argument("--project_id", type=int, metavar="N", help="project to put it in")
    parser.add_argument("-g", "--git", action="store_true", help="note the commit of the folder, which must be clean")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("-f", "--follow-first-trial", action="store_true", help="print the log of the first trial")
    how.add_argument("--paused", action="store_true", help="do not start it yet")
    how.add_argument("-t", "--test-mode", action="store_true", help="try one batch of one point first")


CREATE = Command("create", "create an experiment", create, (_arguments,))
