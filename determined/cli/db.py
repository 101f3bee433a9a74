"""``det db``: databases of masters, without a master: bring up to date, check, copy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from determined.cli import render
from determined.cli.call import Call
from determined.cli.commands import Command
from determined.cli.options import JSON, option
from determined.common import util
from determined.common.terminal import visible

if TYPE_CHECKING:
    from determined.storage.moving import Copied

_DIGITS = 16
"""Of a digest, for people; programs get all."""


def migrate(call: Call) -> None:
    """Bring a database to the newest schema."""
    from determined.storage.moving import migrate

    before, after = migrate(_url(call))
    if call.args.json:
        render.print_json({"before": before, "after": after})
    elif before == after:
        print(f"The schema has version {after} already.")
    elif before is None:
        print(f"Made the schema, version {after}.")
    else:
        print(f"Brought the schema from version {before} to {after}.")


def check(call: Call) -> int:
    """Say what is wrong with a database; the exit code is 1 when something is."""
    from determined.storage.checking import check

    found = check(_url(call))
    if call.args.json:
        ok = not found.problems
        render.print_json({"ok": ok, "schema": found.schema, "rows": found.rows, "problems": found.problems})
        return int(not ok)
    if found.rows:
        render.table(("Table", "Rows"), list(found.rows.items()))
    for problem in found.problems:
        print(f"Problem: {visible(problem)}")
    if not found.problems:
        print(f"Schema version {found.schema}; no problems found.")
    return int(bool(found.problems))


def copy(call: Call) -> None:
    """Copy a whole database into another one."""
    from determined.storage.moving import copy

    args = call.args
    copied = copy(args.source, args.target, overwrite=args.overwrite)
    if args.json:
        render.print_json({"tables": [table._asdict() for table in copied]})
        return
    render.table(("Table", "Rows", "Digest of both sides"), [_row(table) for table in copied])
    print(f"Copied {sum(table.rows for table in copied)} rows; what was written was read back, and is the same.")


def _row(table: Copied) -> tuple[str, int, str]:
    return table.table, table.rows, table.digest[:_DIGITS]


def _url(call: Call) -> str:
    chosen = call.args.url or os.environ.get("DET_DB")
    return chosen or f"sqlite:///{util.data_path() / 'master.db'}"


_URL = option(
    "url",
    nargs="?",
    metavar="URL",
    help="sqlite:///path or postgresql://user:password@host/database (default: DET_DB, else that of the local master)",
)
_FROM = option("--from", dest="source", metavar="URL", required=True, help="what is copied")
_TO = option("--to", dest="target", metavar="URL", required=True, help="where to; made if it is a file")
_OVERWRITE = option("--overwrite", action="store_true", help="remove what the target holds")

COMMAND = Command(
    "db",
    "databases of masters",
    commands=(
        Command("migrate", "bring a database to the newest schema", migrate, (_URL, JSON)),
        Command("check", "say what is wrong with a database", check, (_URL, JSON)),
        Command("copy", "copy a whole database into another, empty one", copy, (_FROM, _TO, _OVERWRITE, JSON)),
    ),
)
