"""Writes the generated parts of the documentation: ``python docs/generate.py``, or ``--check`` to only compare.

A page holds such a part between two comments, ``<!-- generated: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import TypeVar

from determined.cli.commands import Command, leaf_parser
from determined.cli.nouns import NOUNS
from determined.domain import states
from determined.master.__main__ import main as run_master
from determined.master.api.app import every_route
from determined.master.api.openapi import describe

HERE = Path(__file__).parent
PART = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n)(?P<text>.*?)(<!-- end -->)", re.DOTALL)
S = TypeVar("S", bound=Enum)


def diagram(table: Mapping[S, frozenset[S]]) -> str:
    """A Mermaid state diagram of a transition table."""
    lines = ["```mermaid", "stateDiagram-v2"]
    for old, targets in table.items():
        lines += [f"    {old.value} --> {new.value}" for new in sorted(targets, key=lambda s: str(s.value))]
        if not targets:
            lines.append(f"    {old.value} --> [*]")
    return "\n".join([*lines, "```"])


def commands() -> str:
    """Every command with its arguments; those that all commands have are told once on the page."""
    parts = []
    for noun in NOUNS:
        for command, path in _leaves(noun.load(), ("det", noun.name)):
            names = f" (also `{'`, `'.join(command.aliases)}`)" if command.aliases else ""
            part = f"### {' '.join(path)}\n\n{command.help[:1].upper()}{command.help[1:]}{names}."
            rows = [
                _argument(action) for action in leaf_parser(command, path)._actions if action.dest not in _EVERYWHERE
            ]
            parts.append(part + "".join(["\n\n| Argument | |\n|---|---|", *rows] if rows else []))
    return "\n\n".join(parts)


_EVERYWHERE = ("help", "master", "user")


def _argument(action: argparse.Action) -> str:
    # Written here, not by argparse, whose layout differs from one Python to the next.
    value = str(action.metavar or ("\\|".join(map(str, action.choices)) if action.choices else action.dest.upper()))
    names = ", ".join(action.option_strings)
    takes_value = action.nargs != 0
    name = f"{names} {value}" if names and takes_value else names or str(action.metavar or action.dest)
    return f"\n| `{name}`{' ...' if action.nargs == '+' else ''} | {action.help or ''} |"


def _leaves(command: Command, path: tuple[str, ...]) -> Iterator[tuple[Command, tuple[str, ...]]]:
    if not command.commands:
        yield command, path
    for inner in command.commands:
        yield from _leaves(inner, (*path, inner.name))


def master_options() -> str:
    """The options of ``python -m determined.master``, from its own help."""
    printed = io.StringIO()
    # Wide enough for every option to have one line.
    os.environ["COLUMNS"] = "1000"
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        run_master(["--help"])
    options = re.findall(r"^  (--[a-z-]+(?: [A-Z_]+)?) {2,}(\S.*)$", printed.getvalue(), re.MULTILINE)
    return "\n".join(["| Option | |", "|---|---|", *(f"| `{name}` | {text} |" for name, text in options)])


def routes() -> str:
    """Every route of the API, with who may call it."""
    who = {0: "everybody", 1: "users", 2: "users, the run itself"}
    rows = ["| Method | Path | What it does | Who |", "|---|---|---|---|"]
    for path, methods in sorted(describe(every_route(), "")["paths"].items()):
        for method, operation in methods.items():
            access = who[len(operation["security"])]
            rows.append(f"| {method.upper()} | `{path}` | {operation['summary']} | {access} |")
    return "\n".join(rows)


PARTS: Mapping[str, Callable[[], str]] = {
    "experiment-states": lambda: diagram(states.EXPERIMENT_TRANSITIONS),
    "trial-states": lambda: diagram(states.TRIAL_TRANSITIONS),
    "run-phases": lambda: diagram(states.RUN_TRANSITIONS),
    "commands": commands,
    "master-options": master_options,
    "routes": routes,
}


def filled(page: str) -> str:
    """A page with its generated parts as they should be."""
    return PART.sub(lambda part: f"{part[1]}{PARTS[part['name']]()}\n{part[4]}", page)


def main() -> int:
    """Write, or compare; the exit code is 1 when a comparison finds a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if something is out of date")
    check = parser.parse_args().check
    old = []
    for path in sorted(HERE.glob("*.md")):
        text = path.read_text()
        new = filled(text)
        if new != text:
            old.append(path.name)
            if not check:
                path.write_text(new)
    print(f"{'out of date' if check else 'written'}: {', '.join(old) or 'nothing'}")
    return 1 if check and old else 0


if __name__ == "__main__":
    sys.exit(main())
