"""Moves a large database to PostgreSQL and back with ``det db copy``: ``python -m tests.large_copy [--trials N]``.

A recorded search of 10,000 trials is made, copied into a database of a real server, and from there into a new file.
Each copy is checked, and the digests of all tables must be the same on the way there and back. Prints what it moved and
how long that took; the exit code is 1 when anything differs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from determined.storage.checking import check
from determined.testing.postgres import drop_database, new_database

Table = Mapping[str, Any]


def run(module: str, *words: str) -> tuple[str, float]:
    """What a program of ours printed, and how long it took, in seconds."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", module, *words], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{module} {' '.join(words[:2])} failed with exit code {done.returncode}")
    return done.stdout, time.perf_counter() - began


def copied(source: str, target: str, name: str) -> list[Table]:
    """Copy, check the copy, and tell of it; its tables."""
    printed, took_s = run("determined.cli", "db", "copy", "--json", "--from", source, "--to", target)
    tables: list[Table] = json.loads(printed)["tables"]
    found = check(target)
    rows = sum(int(table["rows"]) for table in tables)
    print(f"{name}: {rows:,} rows in {took_s:.1f} s ({rows / took_s:,.0f} rows/s), {len(found.problems)} problems")
    if found.problems or sum(found.rows.values()) != rows:
        raise SystemExit(f"the copy is not sound: {found}")
    return tables


def main(argv: Sequence[str] | None = None) -> int:
    """There and back."""
    parser = argparse.ArgumentParser(prog="python -m tests.large_copy", description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000, metavar="N")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="det-copy-") as home:
        first, last = Path(home) / "first" / "master.db", Path(home) / "last.db"
        _, took_s = run("determined.testing.ui_fixture", "--trials", str(args.trials), str(first.parent))
        print(f"made {args.trials:,} trials in {took_s:.1f} s, {first.stat().st_size / 1e6:.0f} MB", flush=True)
        server = new_database()
        try:
            there = copied(f"sqlite:///{first}", server, "SQLite to PostgreSQL")
            back = copied(server, f"sqlite:///{last}", "PostgreSQL to SQLite")
        finally:
            drop_database(server)
    trials = next(int(table["rows"]) for table in there if table["table"] == "trials")
    width = max(len(table["table"]) for table in there)
    for one, other in zip(there, back, strict=True):
        same = "same" if one == other else f"DIFFERENT: {other['rows']} rows, {other['digest']}"
        print(f"{one['table']:{width}} {one['rows']:>9,} {one['digest'][:16]} {same}")
    is_good = there == back and trials >= args.trials
    print(f"{trials:,} trials: {'all digests are equal' if is_good else 'the copies differ'}")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
