"""Puts results on standard output: as a table for people, as CSV or JSON for programs."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import timezone
from pathlib import Path
from typing import Any

from determined.common.terminal import visible, visible_log
from determined.common.util import parse_time, sizeof_fmt

_UNBOUNDED = 100_000

Row = Sequence[Any]


def listing(args: argparse.Namespace, headers: Sequence[str], rows: Sequence[Row], data: Any) -> None:
    """A list in the form that ``--csv`` or ``--json`` chose, else as a table.

    Args:
        rows: for tables and CSV.
        data: for JSON.
    """
    if getattr(args, "json", False):
        print_json(data)
    elif getattr(args, "csv", False):
        print_csv(headers, rows)
    else:
        table(headers, rows)


def table(headers: Sequence[str], rows: Iterable[Row]) -> None:
    """A table; as wide as it needs to be where nobody looks at it."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for header in headers:
        grid.add_column(Text(header), overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell(value)) for value in row))
    is_terminal = sys.stdout.isatty()
    Console(file=sys.stdout, width=None if is_terminal else _UNBOUNDED).print(grid, crop=is_terminal)


def cell(value: Any) -> str:
    """A value as text for a table."""
    return "" if value is None else visible(value, keep="\n")


def print_csv(headers: Sequence[str], rows: Iterable[Row], path: Path | None = None) -> None:
    """CSV, to standard output or a file."""
    if path is None:
        _write_csv(sys.stdout, headers, rows)
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        _write_csv(file, headers, rows)


def _write_csv(file: Any, headers: Sequence[str], rows: Iterable[Row]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(headers)
    writer.writerows(rows)


def print_json(data: Any) -> None:
    """JSON over several lines."""
    print(json.dumps(data, indent=2, sort_keys=True))


def print_yaml(data: Any) -> None:
    """YAML, with sorted keys."""
    import yaml

    print(yaml.safe_dump(data, default_flow_style=False, allow_unicode=True), end="")


def print_document(args: argparse.Namespace, data: Any) -> None:
    """One object, in the form that ``--json`` chose, else as YAML."""
    if args.json:
        print_json(data)
    else:
        print_yaml(data)


def print_logs(lines: Iterable[Mapping[str, Any]], as_json: bool) -> None:
    """Log lines as they come."""
    is_terminal = sys.stdout.isatty()
    for line in lines:
        if as_json:
            print(json.dumps(line, sort_keys=True), flush=True)
        else:
            message = str(line.get("message", ""))
            sys.stdout.write(visible_log(message) if is_terminal else message)
            sys.stdout.flush()


def state(value: Mapping[str, Any]) -> str:
    """The state of something, without its prefix on the wire."""
    return str(value.get("state") or "UNSPECIFIED").removeprefix("STATE_")


def time(text: str | None) -> str | None:
    """A time of the master, in UTC, for people."""
    if not text:
        return None
    try:
        moment = parse_time(text)
    except ValueError:
        return text
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S%z")


def percent(fraction: float | None) -> str | None:
    """A fraction for people."""
    return None if fraction is None else f"{fraction:.1%}"


def hparams(value: Any) -> str:
    """Nested values for people."""
    return json.dumps(value, indent=4)


def resources(value: Mapping[str, Any] | None) -> str:
    """Paths of a checkpoint's files, one per line."""
    return "\n".join(sorted(value or {}))


def resource_size(value: Mapping[str, Any] | None) -> str:
    """Size of a checkpoint's files together."""
    return sizeof_fmt(sum(float(size) for size in (value or {}).values()))
