"""``det preview-search``."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from determined.cli import render
from determined.cli.call import Call
from determined.cli.commands import Command
from determined.cli.options import JSON, option
from determined.errors import InvalidConfig, Problem

if TYPE_CHECKING:
    from determined.simulator.preview import Preview


def preview_search(call: Call) -> None:
    """Print what the search of a configuration would do."""
    from determined.simulator.preview import preview
    from determined.simulator.run import parsed

    args = call.args
    found = preview(parsed(_read(args.config_file), args.seed), args.workers, args.seed)
    if args.json:
        render.print_json(dataclasses.asdict(found))
    else:
        _show(found)


def _read(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except (OSError, ValueError) as error:
        raise InvalidConfig([Problem("", f"cannot be read from {name!r}: {error}")]) from error


def _show(found: Preview) -> None:
    unit = found.unit or "units"
    render.table(
        [f"Length ({unit})", "Trials that reach it", "Trials that end there"],
        [(rung.length, rung.validated, rung.ended) for rung in found.rungs],
    )
    share = f" ({found.units / found.full_units:.1%} of training all to the end)" if found.full_units else ""
    print(f"\nSearch method:  {found.searcher}")
    print(f"Trials:         {found.trials}")
    print(f"Training:       {found.units:g} {unit}{share}")
    print(f"Time:           that of {found.time:g} {unit}, with {_workers(found)}")
    print("One draw with random metrics; --seed shows others.")


def _workers(found: Preview) -> str:
    noun = "worker" if found.workers == 1 else "workers"
    return f"{found.workers} {noun} ({found.utilisation:.0%} in use)"


def _positive(text: str) -> int:
    value = int(text) if text.isascii() and text.isdecimal() else 0
    if not 1 <= value <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of workers; use 1 to 100000")
    return value


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text[:11]) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is no seed; use 0 to 4294967295")
    return int(text)


_CONFIG = option("config_file", help="configuration of the experiment, - for standard input")
_WORKERS = option(
    "--workers", type=_positive, metavar="N", help="trials at the same time (default: as many as the search allows)"
)
_SEED = option("--seed", type=_seed, default=0, metavar="N", help="of the metrics that are made up (default: 0)")

COMMAND = Command(
    "preview-search",
    "what a search would train, and for how long",
    preview_search,
    (_CONFIG, _WORKERS, _SEED, JSON),
)
