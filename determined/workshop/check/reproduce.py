"""Writes a finding as a file that shows it again: a script, and a test for pytest."""

from __future__ import annotations

import ast
import functools
import json
import pprint
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from determined.errors import InvalidInput
from determined.workshop.check.findings import Finding, Kind, numbered
from determined.workshop.check.moves import Move
from determined.workshop.check.play import Outcome
from determined.workshop.check.target import Target

DEFAULT_FILE = "search_check_failure.py"
_FILE = '''\
"""Shows again what a check of {name} has found: {kind}.

It fails until the fault is mended. Run it with python or pytest.{chance}

{story}
"""

from determined.testing import {call}


{make}def test_the_search_method():
    {call}(
{arguments}
    )


if __name__ == "__main__":
    test_the_search_method()
'''
_MAKE = """\
def make(**args):
    raise NotImplementedError("make the search method here, as the check did")


"""


_CHANCE = """
The fault comes by chance, so it may take several attempts to see it: the story is played until it fails, at most
{attempts} times."""


def write(path: Path, target: Target, finding: Finding, how: Sequence[str], attempts: int = 1) -> None:
    """Write the file.

    Args:
        how: the arguments of the call that shows the finding, beside what makes the method, as Python source.
        attempts: that this call makes.
    Raises:
        InvalidInput: the file cannot be written.
    """
    maker = _maker(target)
    story = "\n".join([*numbered(finding.story), f"  => {finding.kind.value}: {finding.text}"])
    text = _FILE.format(
        name=target.name,
        kind=finding.kind.value,
        story=story.replace("\\", "\\\\").replace('"', "'"),
        chance=_CHANCE.format(attempts=attempts) if attempts > 1 else "",
        make=_MAKE if maker[0] == "make" else "",
        call="check_cost" if finding.kind is Kind.COST else "replay_story",
        arguments="\n".join(f"        {argument}," for argument in (*maker, *how)),
    )
    try:
        path.write_text(text)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror or error}; name another file") from error


def story_arguments(outcome: Outcome, more: Mapping[str, Any]) -> list[str]:
    """The arguments of ``replay_story`` for a world; what is None is left out."""
    moves = "".join(f"            {_move(move)},\n" for move in outcome.moves)
    given = {"workers": outcome.setting.workers, "max_restarts": outcome.setting.max_restarts, **more}
    return [f"moves=[\n{moves}        ]" if moves else "moves=[]", *named(given)]


def named(values: Mapping[str, Any]) -> list[str]:
    """Arguments as source; those that are None are left out."""
    return [f"{name}={_source(value)}" for name, value in values.items() if value is not None]


def _move(move: Move) -> str:
    value = repr(move.value)
    return f'("{move.verb}", "{move.trial}", {value if value[-1].isdecimal() else f"float({value!r})"})'


def _source(value: Any) -> str:
    return repr(value) if _is_literal(value) else repr("put what the check was given here")


def _is_literal(value: Any) -> bool:
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError):
        return False


def _maker(target: Target) -> list[str]:
    """The arguments that make the method."""
    factory: Any = target.factory
    args = dict(target.args)
    if isinstance(factory, functools.partial):
        factory, args = factory.func, {**factory.keywords, **args}
    is_bound = isinstance(target.factory, functools.partial) and bool(target.factory.args)
    name = None if factory is None else factory if isinstance(factory, str) else _name(factory)
    if is_bound or name == "" or not _is_literal(args):
        return ["make"]
    made = [repr(name)]
    if args:
        made.append(f"args={args!r}")
    if target.config is not None:
        config = pprint.pformat(json.loads(json.dumps(target.config.complete)), width=100)
        made.append("config=" + textwrap.indent(config, " " * 8).lstrip())
    return made


def _name(factory: Any) -> str:
    """``module:Name`` of what can be imported; "" for anything else."""
    module, name = str(getattr(factory, "__module__", "")), str(getattr(factory, "__qualname__", ""))
    if module == "__main__":
        module = Path(str(getattr(sys.modules["__main__"], "__file__", ""))).stem
    return f"{module}:{name}" if module and name and "<" not in name else ""
