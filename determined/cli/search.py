"""``det search``: tools for search methods that need no master."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from determined.cli import render
from determined.cli.call import Call
from determined.cli.commands import Command, UsageError
from determined.cli.options import JSON, boolean, count, option
from determined.common.terminal import visible
from determined.errors import InvalidInput

if TYPE_CHECKING:
    from determined.workshop.check import CheckFailed, CheckReport

_FILE = "search_check_failure.py"


def check(call: Call) -> int:
    """Look for faults in a search method; the exit code is 1 when there is one."""
    from determined.workshop.check import CheckFailed, check_search_method

    args = call.args
    if args.method is None and args.config is None:
        raise UsageError("name a search method, as in my_search:MySearchMethod, or give --config of a built-in one")
    # What a method logs in a hundred worlds tells nobody anything.
    logging.disable(logging.CRITICAL)
    try:
        report = check_search_method(
            args.method,
            args=_arguments(args.args),
            config=args.config,
            examples=max(args.examples, 1),
            seed=args.seed,
            max_trials=args.max_trials,
            max_length=args.max_length,
            max_units=args.max_units,
            metric=args.metric or float,
            repeatable=args.repeatable,
            cost=args.cost,
            sized=args.sized,
            write=args.write,
        )
    except CheckFailed as failed:
        _show_failure(args, failed)
        return 1
    finally:
        logging.disable(logging.NOTSET)
    notes = tuple(note.replace(*_ADVICE) for note in report.notes)
    _show(args, dataclasses.replace(report, notes=notes))
    return 0


_ADVICE = ("sized=NAME", "--sized NAME")
"""How a note says what to give to a function, and how it is given here."""


def _show(args: argparse.Namespace, report: CheckReport) -> None:
    if args.json:
        cost = None if report.cost is None else list(report.cost)
        found = {"ok": True, "method": report.name, "worlds": report.worlds, "events": report.events}
        render.print_json({**found, "reloads": report.reloads, "cost": cost, "notes": list(report.notes)})
    else:
        print(visible(report, keep="\n"))


def _show_failure(args: argparse.Namespace, failed: CheckFailed) -> None:
    if not args.json:
        print(visible(failed, keep="\n"))
        return
    finding = failed.finding
    story = [
        {"event": step.event, "operations": None if step.answer is None else list(step.answer)}
        for step in finding.story
    ]
    found = {"ok": False, "method": failed.name, "fault": finding.kind.name, "title": finding.kind.value}
    render.print_json({**found, "text": finding.text, "story": story, "file": failed.file})


def _arguments(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError as error:
        raise InvalidInput(
            f"--args is no JSON ({error}); write an object, as in --args '{{\"max_trials\": 5}}'"
        ) from None
    if not isinstance(found, dict):
        raise InvalidInput(f"--args must be a JSON object of arguments by name, got {text}")
    return found


_METHOD = option(
    "method",
    nargs="?",
    metavar="MODULE:NAME",
    help="a class, or a function that makes a search method (default: the built-in one that --config names)",
)
_ARGUMENTS = (
    _METHOD,
    option("--args", metavar="JSON", help="its arguments by name"),
    option("--config", metavar="CONFIG", type=Path, help="experiment configuration; arguments come from it, too"),
    option("--examples", metavar="N", type=count, default=100, help="how many worlds to play (default: 100)"),
    option("--seed", metavar="N", type=count, help="play other worlds"),
    option("--max-trials", metavar="N", type=count, help="most trials (default: what the arguments say)"),
    option("--max-length", metavar="N", type=count, help="longest training of one trial (default: the same)"),
    option("--max-units", metavar="N", type=count, help="longest training of all trials together"),
    option("--metric", metavar="JSON", help='what trials report, with "METRIC" for the number'),
    option("--repeatable", metavar="BOOL", type=boolean, default=True, help="equal events get equal answers"),
    option("--cost", metavar="BOOL", type=boolean, default=True, help="whether to measure what an event costs"),
    option("--sized", metavar="NAME", help="argument that says how many trials the search makes, to measure the cost"),
    option("--write", metavar="FILE", default=_FILE, help=f"script that shows a fault again (default: {_FILE})"),
    JSON,
)
COMMAND = Command(
    "search",
    "tools for search methods",
    commands=(Command("check", "look for faults in a search method", check, _ARGUMENTS),),
)
