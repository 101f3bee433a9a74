"""Arguments that several commands have."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

from determined.cli.commands import Arguments
from determined.common.api.logs import LEVELS, LogFilter

MAX_ID = 2**31 - 1


def number_id(text: str) -> int:
    """An id that the master gave."""
    try:
        value = int(text) if text.isascii() else 0
    except ValueError:
        value = 0
    if not 1 <= value <= MAX_ID:
        raise argparse.ArgumentTypeError(f"{text!r} is no id; ids are whole numbers from 1 on")
    return value


def count(text: str) -> int:
    """A number of things."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of things; use 0 or more")
    return value


def boolean(text: str) -> bool:
    """True or false."""
    lowered = text.lower()
    if lowered in ("true", "yes", "y", "on", "1"):
        return True
    if lowered in ("false", "no", "n", "off", "0"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


def option(*names: str, **settings: Any) -> Arguments:
    """One argument, as ``add_argument`` takes it."""

    def declare(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(*names, **settings)

    return declare


def one_of(*declarations: Callable[[Any], None], required: bool = False) -> Arguments:
    """Arguments that exclude each other."""

    def declare(parser: argparse.ArgumentParser) -> None:
        group = parser.add_mutually_exclusive_group(required=required)
        for declaration in declarations:
            declaration(group)

    return declare


EXPERIMENT = option("experiment_id", type=number_id, help="experiment id")
EXPERIMENTS = option("experiment_ids", type=number_id, nargs="+", metavar="experiment_id", help="experiment ids")
TRIAL = option("trial_id", type=number_id, help="trial id")
CSV = option("--csv", action="store_true", help="print as CSV")
JSON = option("--json", action="store_true", help="print as JSON")
YAML = option("--yaml", action="store_true", help="print as YAML (the default)")
TABLE = one_of(CSV, JSON)
YES = option("-y", "--yes", action="store_true", help="do not ask")
QUIET = option("-q", "--quiet", action="store_true", help="print paths only")


def pages(limit: int = 200) -> Arguments:
    """How much of a long list to fetch."""

    def declare(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--limit", type=count, default=limit, help=f"members per page (default: {limit})")
        parser.add_argument("--offset", type=count, default=0, help="members to skip")
        parser.add_argument("--pages", choices=("1", "all"), default="all", help="one page, or all (default)")

    return declare


def metric_choice(parser: argparse.ArgumentParser) -> None:
    """Which metric decides what is best."""
    parser.add_argument("--sort-by", metavar="METRIC", help="validation metric (default: that of the search)")
    parser.add_argument("--smaller-is-better", type=boolean, metavar="BOOL", help="its direction; with --sort-by")


def log_options(parser: argparse.ArgumentParser) -> None:
    """Which lines of a log to show."""
    some = parser.add_mutually_exclusive_group()
    some.add_argument("-f", "--follow", action="store_true", help="go on with new lines")
    some.add_argument("--head", type=count, metavar="N", help="the first N lines")
    some.add_argument("--tail", type=count, metavar="N", help="the last N lines")
    for name, kind in _LOG_LISTS:
        parser.add_argument(
            f"--{name}", dest=f"{name.replace('-', '_')}s", type=kind, action="append", help="only of this; repeatable"
        )
    parser.add_argument("--timestamp-before", metavar="TIME", help="only before, as in 2021-10-26T23:17:12Z")
    parser.add_argument("--timestamp-after", metavar="TIME", help="only after")
    parser.add_argument("--level", choices=LEVELS, help="this level and above")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")


_LOG_LISTS: tuple[tuple[str, type], ...] = (
    ("allocation-id", str),
    ("agent-id", str),
    ("container-id", str),
    ("rank-id", int),
    ("source", str),
    ("stdtype", str),
)


def log_filter(args: argparse.Namespace) -> LogFilter:
    """The lines that ``log_options`` ask for."""
    lists: Iterator[tuple[str, Any]] = (
        (f"{name.replace('-', '_')}s", getattr(args, f"{name.replace('-', '_')}s")) for name, _ in _LOG_LISTS
    )
    return LogFilter(
        follow=args.follow,
        head=args.head,
        tail=args.tail,
        min_level=args.level,
        timestamp_before=args.timestamp_before,
        timestamp_after=args.timestamp_after,
        **dict(lists),
    )
